// What the page asks of the server. Each answer that a person gives has an id of its own, so that it
// may be sent again without being counted twice.

const WAIT = 1000; // milliseconds before a request is sent again

export const tab = (() => {
  const kept = sessionStorage.getItem("tab") || newId().slice(0, 16);
  sessionStorage.setItem("tab", kept);
  return kept;
})();

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

let trouble = () => {};
export function onTrouble(handler) { trouble = handler; }

// Ask until there is an answer; what the server refuses is returned with its status.
async function ask(path, options) {
  for (;;) {
    let answer = null;
    try {
      answer = await fetch(path, { credentials: "same-origin", ...options });
    } catch {
      trouble("The server does not answer. What you said is not saved yet; it is being sent again.");
    }
    if (answer && answer.status === 403) {
      trouble("The command was started anew: open the address that it printed last.");
      return new Promise(() => {});
    }
    if (answer && answer.status !== 503) {
      trouble("");
      const data = await answer.json().catch(() => ({ error: answer.statusText }));
      return { status: answer.status, ...data };
    }
    if (answer) {
      const data = await answer.json().catch(() => ({}));
      trouble(`Not saved: ${data.error || "the server cannot write"}. ${data.hint || ""} Trying again.`);
    }
    await new Promise((done) => setTimeout(done, WAIT));
  }
}

export const get = (path, query = {}) => ask(`${path}?${new URLSearchParams(query)}`, {});

export const post = (path, data) => ask(path, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(data),
});
