// Elements and texts. Everything that callers have sent goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, properties, children);
  return element;
}

export function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

const wholes = new Intl.NumberFormat("en");
export const count = (value) => wholes.format(value);
export const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;
export const decimal = (value) => (value >= 100 || Number.isInteger(value) ? count(Math.round(value)) : value.toFixed(1));

export function clock(seconds) {
  const moment = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const milliseconds = String(moment.getMilliseconds()).padStart(3, "0");
  return `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}.${milliseconds}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`;
  return `${Math.ceil(seconds / 3600)} h`;
}

export const OUTCOMES = ["accepted", "refused", "throttled", "failed"];

export const badge = (outcome) => h("span", { class: `badge ${outcome}` }, outcome);

export function answerOf(row) {
  if (row.status === null) return "no answer";
  if (row.code !== null) return `${row.code} ${row.message ?? ""}`;
  return row.message ? `${row.status} ${row.message}` : `HTTP ${row.status}`;
}

export function who(pair) {
  if (!pair) return h("span", { class: "who none" }, "nobody");
  const [name, value] = pair;
  return h("span", { class: "who", title: `${name}: ${value}` }, name === "external_id" ? null : h("small", {}, name), value);
}

// Lets a screen reader and a keyboard user keep their place: a node that is there stays.
export function keep(parent, key, make) {
  let element = [...parent.children].find((child) => child.dataset.key === key);
  if (!element) {
    element = make();
    element.dataset.key = key;
    parent.append(element);
  }
  return element;
}

export function copyButton(text) {
  const button = h("button", { type: "button", class: "copy", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
  return button;
}
