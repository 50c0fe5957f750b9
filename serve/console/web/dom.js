// Builds elements. Strings become text nodes or attributes and never markup: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

// Sizes that depend on data are set as properties: the page's policy allows no style in markup.
export function sized(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

let last = 0;

// A label and its control, tied together; `hint` is read out with the control.
export function field(label, control, hint = null, className = "") {
  const id = (control.id ||= `field-${++last}`);
  const said = hint === null ? null : h("p", { class: "hint", id: `${id}-hint` }, hint);
  if (said) control.setAttribute("aria-describedby", said.id);
  return h("div", { class: `field ${className}` }, h("label", { for: id }, label), control, said);
}

export function select(options, value, onchange) {
  const control = h("select", { onchange: () => onchange?.(control.value) });
  for (const [key, text] of options) control.append(h("option", { value: key }, text));
  control.value = value;
  return control;
}

// One of a few, as buttons of which one is pressed.
export function choice(label, options, value, onchange) {
  const group = h("div", { class: "choice", role: "group", "aria-label": label });
  const press = (chosen) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.value === chosen));
  };
  for (const [key, text] of options) {
    group.append(
      h(
        "button",
        {
          type: "button",
          "data-value": key,
          onclick: () => {
            press(key);
            onchange(key);
          },
        },
        text,
      ),
    );
  }
  press(value);
  return group;
}

export function heading(title, ...rest) {
  return h("div", { class: "page-head" }, h("h1", {}, title), ...rest);
}

export function empty(title, ...text) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, title),
    ...text.map((each) => (typeof each === "string" ? h("p", {}, each) : each)),
  );
}

export function notice(kind, title, ...text) {
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" },
    h("strong", {}, title),
    " ",
    ...text,
  );
}

export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copying is not allowed here";
  }
  setTimeout(() => {
    button.textContent = before;
  }, 1600);
}
