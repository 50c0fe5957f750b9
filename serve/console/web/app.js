// Puts the page together: who is looking, which views there are for them, and the one that is open.

import { key, onUnauthorised } from "./api.js";
import * as audit from "./audit.js";
import * as card from "./card.js";
import { h, notice, replace } from "./dom.js";
import * as edits from "./edits.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import { login, session as askSession } from "./login.js";
import * as playground from "./playground.js";

const VIEWS = [
  ["live", "Live", live, (who) => who.admin],
  ["edits", "Edits", edits, (who) => !who.administrators_port],
  ["playground", "Playground", playground, (who) => !who.administrators_port],
  ["keys", "Keys and usage", keys, (who) => who.admin],
  ["audit", "Audit", audit, (who) => who.admin],
  ["card", "System card", card, (who) => !who.administrators_port],
];

const THEMES = [
  ["auto", "Auto"],
  ["light", "Light"],
  ["dark", "Dark"],
];
const THEME = "dovetail.theme";

const main = document.getElementById("main");
let who = null;
let leave = () => {};
let shown = null;

function views() {
  return VIEWS.filter(([, , , allowed]) => allowed(who));
}

function open() {
  const wanted = location.hash.replace(/^#\/?/, "").split("?")[0];
  const [name, title, view] = views().find(([each]) => each === wanted) ?? views()[0];
  if (shown === name) return;
  leave();
  shown = name;
  document.title = `${title} · Dovetail`;
  for (const link of document.querySelectorAll("#views a")) {
    const here = link.getAttribute("href") === `#/${name}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (here) link.scrollIntoView({ block: "nearest", inline: "center" });
  }
  const root = h("div", { class: `view view-${name}` });
  replace(main, root);
  leave = view.mount(root, who) ?? (() => {});
  window.scrollTo(0, 0);
}

function frame() {
  replace(
    document.getElementById("views"),
    views().map(([name, title]) => h("li", {}, h("a", { href: `#/${name}` }, title))),
  );
  const signOut = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        key.forget();
        location.reload();
      },
    },
    "Sign out",
  );
  replace(
    document.getElementById("foot"),
    h(
      "p",
      { class: "whom" },
      who.open
        ? "Nobody is asked for a key here: only this machine can reach the server."
        : ["Signed in as ", h("b", {}, who.name)],
    ),
    h("div", { class: "foot-row" }, themes(), who.open || who.kind === "certificate" || !key.get() ? null : signOut),
    h("p", { class: "version" }, who.version ? `Dovetail ${who.version}` : ""),
  );
}

function themes() {
  const now = localStorage.getItem(THEME) ?? "auto";
  const control = h("select", {
    "aria-label": "Colours",
    onchange: () => {
      localStorage.setItem(THEME, control.value);
      paint(control.value);
    },
  });
  for (const [value, text] of THEMES) control.append(h("option", { value }, text));
  control.value = now;
  return control;
}

function paint(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

async function start() {
  paint(localStorage.getItem(THEME) ?? "auto");
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  try {
    who = await askSession();
  } catch (error) {
    if (error.status === 401) {
      who = await login(error);
    } else {
      replace(
        main,
        notice(
          "bad",
          "The console could not be opened.",
          `${error.message} `,
          h("button", { type: "button", onclick: () => location.reload() }, "Try again"),
        ),
      );
      return;
    }
  }
  onUnauthorised(async (refused) => {
    const now = await login(refused);
    const same = now.name === who.name && now.admin === who.admin;
    who = now;
    frame();
    if (!same) shown = null;
    open();
    dispatchEvent(new Event("dovetail:signed-in"));
  });
  frame();
  addEventListener("hashchange", open);
  open();
}

start();
