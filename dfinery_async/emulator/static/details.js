// The panel with all about one request, event or profile.

import { get } from "./calls.js";
import { answerOf, badge, byId, clock, count, h, plural, who } from "./dom.js";
import { aboutOf, eventRow } from "./lists.js";

const PARTS_OPEN = 3;

export class Details {
  constructor(neighbour, find) {
    this.dialog = byId("details");
    this.neighbour = neighbour;
    this.find = find;
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  async open(kind, row) {
    const id = kind === "profiles" ? encodeURIComponent(row.unified_id) : row.number;
    let content;
    try {
      content = { requests: requestParts, events: eventParts, profiles: profileParts }[kind](await get(`/page/${kind}/${id}`), this);
    } catch (error) {
      content = [h("h2", { id: "details-title" }, "Gone"), h("p", {}, error.message)];
    }
    const step = (name, by) => {
      const other = this.neighbour(row, by);
      return h("button", { type: "button", disabled: !other, onclick: () => this.open(kind, other) }, name);
    };
    this.dialog.replaceChildren(
      h("div", { class: "panel" },
        h("div", { class: "head" },
          h("div", { class: "steps" }, step("Newer", -1), step("Older", 1)),
          h("button", { type: "button", class: "close", onclick: () => this.dialog.close() }, "Close")),
        h("div", { class: "content" }, content)));
    if (!this.dialog.open) this.dialog.showModal();
  }
}

function requestParts(found) {
  return [
    h("h2", { id: "details-title" }, `Request ${count(found.number)}`, badge(found.outcome)),
    h("p", { class: "about" }, aboutOf(found)),
    facts([
      ["when", clock(found.at)],
      ["call", h("code", {}, `${found.method} ${found.path}`)],
      ["user", who(found.who)],
      found.family === "events" ? ["batch", `${plural(found.events, "event")}, ${plural(found.items, "item")}`] : null,
      ["answer", found.status === null ? "none: the connection ended" : `HTTP ${found.status}${found.code === null && !found.message ? "" : `, ${answerOf(found)}`}`],
      found.fault ? ["fault", h("em", { class: "tag" }, found.fault)] : null,
    ]),
    wrongParts(found),
    found.kept ? bodyParts(found) : h("p", { class: "none" }, "The body is not kept."),
    h("details", {}, h("summary", {}, "Headers"), h("dl", { class: "headers" }, found.headers.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
  ];
}

function wrongParts(found) {
  if (!found.wrong.length) return null;
  const dropped = found.outcome === "accepted";
  return h("section", { class: dropped ? "wrong mild" : "wrong", "aria-label": "What is wrong" },
    h("h3", {}, dropped ? "Taken, with remarks" : `What is wrong: ${plural(found.wrong.length, "field")}`),
    found.wrong.map((each) => h("div", { class: "fault" },
      h("code", { class: "field" }, each.field || "the body"),
      h("p", {}, each.what),
      each.sent === null ? null : h("p", { class: "sent" }, "sent: ", h("code", {}, each.sent)))),
    h("p", { class: "note" }, dropped ? "The API answers 20000 all the same." : "The API itself tells no more than the code."));
}

function bodyParts(found) {
  const parts = found.parts.map((part) => h("details", { open: part.wrong > 0 || found.parts.length <= PARTS_OPEN, class: part.wrong ? "part bad" : "part" },
    h("summary", {}, h("code", {}, part.path), h("b", {}, part.name), part.wrong ? h("em", { class: "tag bad" }, `${part.wrong} wrong`) : null),
    codeLines(part.lines)));
  return h("section", {}, h("h3", {}, "Body"), codeLines(found.head), parts);
}

function eventParts(found, panel) {
  return [
    h("h2", { id: "details-title" }, found.name),
    facts([
      ["arrived", clock(found.at)],
      ["happened", found.when],
      ["user", who(found.who)],
      ["profile", h("button", { type: "button", class: "link-button", onclick: () => panel.open("profiles", { unified_id: found.unified_id }) }, found.unified_id)],
      ["batch", found.together > 1 ? `of ${found.together} events` : "alone"],
    ]),
    h("p", {}, h("button", { type: "button", onclick: () => panel.find("requests", found.log_id) }, "Find its request")),
    h("h3", {}, "Event"),
    codeLines(found.lines),
  ];
}

function profileParts(found, panel) {
  return [
    h("h2", { id: "details-title" }, "Profile ", h("code", {}, found.unified_id)),
    h("h3", {}, "Identity"), codeLines(found.identities),
    h("h3", {}, "Properties"), codeLines(found.properties),
    h("h3", {}, "Latest events"),
    found.events.length
      ? h("ol", { class: "rows" }, found.events.map((row) => h("li", {}, h("button", { type: "button", class: "row events", onclick: () => panel.open("events", row) }, eventRow(row)))))
      : h("p", { class: "none" }, "None."),
  ];
}

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function codeLines(lines) {
  const rows = lines.map((line) => {
    const row = h("span", { class: line.wrong ? "line bad" : "line" }, line.text || " ");
    row.style.paddingInlineStart = `${line.depth * 1.1 + 0.75}rem`;
    return row;
  });
  return h("pre", { class: "code", tabindex: "0" }, rows);
}
