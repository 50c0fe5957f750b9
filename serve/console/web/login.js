// Asks for a key, over whatever view is open: what was typed there stays.

import { ask, key } from "./api.js";
import { field, h, notice, replace } from "./dom.js";

let dialog = null;

// Resolves with the session once a key is taken.
export function login(why) {
  if (dialog) return dialog.promise;
  const { promise, resolve } = Promise.withResolvers ? Promise.withResolvers() : deferred();
  const input = h("input", {
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    placeholder: "dvt_…",
  });
  const said = h("div", { class: "login-said", "aria-live": "polite" });
  const button = h("button", { class: "primary", type: "submit" }, "Sign in");
  const form = h(
    "form",
    { method: "dialog", class: "login" },
    h("h1", { id: "login-title" }, "Sign in with a key"),
    said,
    field("API key", input, "It is kept in this tab until you close it, and nowhere else."),
    button,
    h(
      "p",
      { class: "hint" },
      "Whoever runs this server makes one with ",
      h("code", {}, "dovetail keys create NAME"),
      "; with ",
      h("code", {}, "--admin"),
      " it also opens the live view, keys and the audit log.",
    ),
  );
  const element = h("dialog", { "aria-labelledby": "login-title" }, form);
  const say = (refused) => {
    const nothing = refused.code === "missing_api_key" && !key.get();
    replace(said, nothing ? null : notice(refused.status === 401 ? "warn" : "bad", refused.message));
  };
  const finish = (session) => {
    element.close();
    element.remove();
    dialog = null;
    resolve(session);
  };
  element.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    key.set(input.value.trim());
    try {
      finish(await session());
    } catch (error) {
      key.forget();
      say(error);
      input.select();
    } finally {
      button.disabled = false;
    }
  });
  dialog = { promise };
  document.body.append(element);
  say(why);
  key.forget();
  element.showModal();
  input.focus();
  return promise;
}

// Who is looking. A key that may not ask the console itself may still ask the model.
export async function session() {
  try {
    return await ask("/console/api/session", { quiet: true });
  } catch (error) {
    if (error.status !== 403) throw error;
    return {
      name: "this key",
      admin: false,
      open: false,
      keys: true,
      audit: false,
      administrators_port: false,
      capabilities: null,
    };
  }
}

function deferred() {
  let resolve;
  const promise = new Promise((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}
