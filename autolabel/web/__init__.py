"""What every server of ours has: who may ask, from where, how much, and headers that say no more.

A page on this machine can be asked by any other page in the same browser, and by any name that
somebody lets point at this machine (DNS rebinding). So each request must name a host that is ours,
come from our own page where it comes from a page, and hold a secret that was printed once.
"""
