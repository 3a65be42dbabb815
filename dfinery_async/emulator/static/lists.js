// The three lists. Each shows a page of rows, the newest first; new ones join while the reader is at the top.

import { get } from "./calls.js";
import { answerOf, badge, byId, clock, count, h, plural, who } from "./dom.js";

// So many new rows at a time are no news that the eye has to be drawn to.
const MANY = 8;

const KINDS = {
  requests: { path: "/page/requests", row: requestRow, key: (row) => row.number, none: "No request fits." },
  events: { path: "/page/events", row: eventRow, key: (row) => row.number, none: "No event fits." },
  profiles: { path: "/page/profiles", row: profileRow, key: (row) => row.unified_id, none: "No profile fits." },
};

export class Lists {
  constructor(open, emptyState) {
    this.kind = "requests";
    this.search = "";
    this.outcome = "";
    this.open = open;
    this.emptyState = emptyState;
    this.rows = [];
    this.before = null;
    this.older = false;
    this.turn = 0;
    this.slow = 0;
    this.busy = false;
  }

  choose(changes) {
    Object.assign(this, changes, { older: false, shown: null });
    return this.refresh();
  }

  // The first page again. Answers of earlier questions are thrown away.
  async refresh() {
    const turn = ++this.turn;
    this.busy = true;
    const began = performance.now();
    try {
      const page = await get(KINDS[this.kind].path, this.query());
      if (turn !== this.turn) return;
      this.rows = page.rows;
      this.before = page.before;
      this.older = false;
      this.draw();
    } finally {
      this.slow = performance.now() - began;
      if (turn === this.turn) this.busy = false;
    }
  }

  async showOlder() {
    const turn = ++this.turn;
    const page = await get(KINDS[this.kind].path, { ...this.query(), before: String(this.before) });
    if (turn !== this.turn) return;
    this.rows = [...this.rows, ...page.rows];
    this.before = page.before;
    this.older = true;
    this.draw();
  }

  olderButton(label) {
    return h("button", { type: "button", onclick: () => this.showOlder() }, label);
  }

  query() {
    return { q: this.search.trim(), outcome: this.kind === "requests" ? this.outcome : "" };
  }

  neighbour(row, step) {
    return this.rows[this.rows.indexOf(row) + step];
  }

  draw() {
    const list = byId("list");
    const kind = KINDS[this.kind];
    if (!this.rows.length) {
      const filtered = this.search.trim() || (this.kind === "requests" && this.outcome);
      const none = this.before ? h("p", { class: "none" }, "None among the latest. ", this.olderButton("Look further")) : h("p", { class: "none" }, kind.none);
      list.replaceChildren(filtered ? none : this.emptyState(this.kind));
      this.shown = null;
      return;
    }
    const fresh = this.shown?.kind === this.kind;
    const known = fresh ? this.shown.elements : new Map();
    const elements = new Map();
    const many = this.rows.filter((row) => !known.has(kind.key(row))).length > MANY;
    for (const row of this.rows) {
      const key = kind.key(row);
      const stamp = JSON.stringify(row);
      let entry = known.get(key);
      if (!entry || entry.stamp !== stamp) {
        const item = h("li", { class: fresh && !entry && !many ? "new" : null }, h("button", { type: "button", class: `row ${this.kind} ${row.outcome ?? ""}`, onclick: () => this.open(this.kind, this.rows.find((each) => kind.key(each) === key)) }, kind.row(row)));
        entry = { item, stamp };
      }
      elements.set(key, entry);
    }
    let rows = this.shown?.kind === this.kind ? this.shown.list : null;
    if (!rows || !rows.isConnected) {
      rows = h("ol", { class: "rows", "aria-label": this.kind });
      list.replaceChildren(rows, h("p", { class: "more" }));
    }
    let next = rows.firstChild;
    for (const { item } of elements.values()) {
      if (item === next) next = next.nextSibling;
      else rows.insertBefore(item, next);
    }
    const wanted = new Set([...elements.values()].map((entry) => entry.item));
    for (const item of [...rows.children]) if (!wanted.has(item)) item.remove();
    list.lastChild.replaceChildren(this.before ? this.olderButton("Show older") : "");
    this.shown = { kind: this.kind, list: rows, elements };
  }
}

function requestRow(row) {
  return [
    h("time", {}, clock(row.at)),
    badge(row.outcome),
    who(row.who),
    h("span", { class: "about" }, aboutOf(row)),
    h("span", { class: "size" }, row.family === "events" ? plural(row.events, "event") : "", row.items ? h("small", {}, plural(row.items, "item")) : null),
    h("span", { class: "answer" }, h("span", { class: "said" }, answerOf(row)), row.problems ? h("small", {}, plural(row.problems, row.outcome === "accepted" ? "remark" : "field")) : null, row.fault ? h("em", { class: "tag" }, row.fault) : null),
  ];
}

export function aboutOf(row) {
  const named = row.what.flatMap(([name, times]) => [h("span", { class: "name" }, name, times > 1 ? h("small", {}, `×${count(times)}`) : null)]);
  if (row.family === "events") return named.length ? named : "events";
  const label = { "/api/v1/identities": "identity", "/api/v1/identities/delete": "deletion", "/api/v1/user-profile": "profile", "/api/v1/export/event": "event export", "/api/v1/export/userprofile": "profile export" }[row.path];
  return [h("span", { class: "call" }, label ?? `${row.method} ${row.path}`), ...named];
}

export function eventRow(row) {
  return [
    h("time", {}, clock(row.at)),
    h("span", { class: "name" }, row.name),
    who(row.who),
    h("span", { class: "size" }, row.properties ? plural(row.properties, "property").replace("propertys", "properties") : "", row.items ? h("small", {}, plural(row.items, "item")) : null),
    h("span", { class: "answer" }, row.together > 1 ? h("small", {}, `in a batch of ${count(row.together)}`) : h("small", {}, "alone")),
  ];
}

function profileRow(row) {
  return [
    h("code", {}, row.unified_id),
    who(row.who),
    h("span", { class: "about" }, row.known.map((name) => h("em", { class: "tag" }, name))),
    h("span", { class: "size" }, plural(row.properties, "property").replace("propertys", "properties")),
    h("span", { class: "answer" }, h("small", {}, row.names.join(", "))),
  ];
}
