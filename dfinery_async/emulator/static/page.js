// The page as a whole: asks once a second what is new, and wires lists, cards and panel.

import { change, get } from "./calls.js";
import { Details } from "./details.js";
import { byId, count, decimal, h, keep, OUTCOMES, plural, svg } from "./dom.js";
import { Lists } from "./lists.js";
import { connectionLines, makeSide, showSide } from "./side.js";

const EVERY = 1000;
const TABS = ["requests", "events", "profiles"];

let live = null;
let connection = {};
let paused = false;
let timer = 0;
let turn = 0;
const seen = { run: null, marks: {} };

const lists = new Lists((kind, row) => details.open(kind, row), emptyState);
const details = new Details((row, step) => lists.neighbour(row, step), find);

async function poll() {
  const mine = ++turn; // of two rounds at once the later one goes on
  clearTimeout(timer);
  let wait = EVERY;
  if (!document.hidden) {
    try {
      show(await get("/page/live"));
      say(paused ? "paused" : "live", paused ? "wait" : "live");
      if (!paused) await follow();
    } catch {
      say("the emulator does not answer", "gone");
      wait = 2 * EVERY;
    }
    // A search through much takes its time; it does not get to fill all of it.
    wait = Math.max(wait, 4 * lists.slow);
  }
  if (mine === turn) timer = setTimeout(poll, wait);
}

function say(text, state) {
  const place = byId("link");
  if (place.textContent !== text) place.textContent = text;
  place.dataset.state = state;
}

function show(found) {
  live = found;
  byId("address").textContent = live.address;
  byId("service").textContent = `service ${live.service_id}`;
  showTiles();
  showActivity();
  showFilters();
  showSide(live);
}

// What the list hangs on. When it has changed, the list is asked for again, or offered to be.
function mark(kind) {
  if (kind === "profiles") return `${live.stored.profiles}/${live.requests}`;
  return kind === "events" ? live.stored.events : live.requests;
}

async function follow() {
  const now = mark(lists.kind);
  if (seen.run === live.run && seen.marks[lists.kind] === now) return;
  if (seen.run === live.run && lists.older) {
    const fresh = byId("fresh");
    fresh.hidden = false;
    fresh.replaceChildren(h("button", { type: "button", onclick: refresh }, "New ones have come: show them"));
    return;
  }
  await refresh();
}

async function refresh() {
  seen.run = live.run;
  seen.marks = { [lists.kind]: mark(lists.kind) };
  byId("fresh").hidden = true;
  await lists.refresh();
}

async function choose(changes) {
  byId("fresh").hidden = true;
  if (live) {
    seen.run = live.run;
    seen.marks = { [changes.kind ?? lists.kind]: mark(changes.kind ?? lists.kind) };
  }
  for (const name of TABS) {
    const chosen = name === (changes.kind ?? lists.kind);
    byId(`tab-${name}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    if (chosen) byId("list").setAttribute("aria-labelledby", `tab-${name}`);
  }
  try {
    await lists.choose(changes);
  } catch {
    say("the emulator does not answer", "gone");
  }
  if (live) showFilters();
}

function find(kind, text) {
  byId("details").close();
  byId("search").value = text;
  return choose({ kind, search: text, outcome: "" });
}

function showTiles() {
  const recent = live.activity.slice(-6, -1);
  const pace = recent.reduce((all, second) => all + sum(second), 0) / recent.length;
  const tiles = {
    "Events stored": count(live.stored.events),
    Profiles: count(live.stored.profiles),
    Requests: count(live.requests),
    "Events per request": live.event_requests ? decimal(live.events / live.event_requests) : "–",
    "Requests a second": decimal(pace),
    "Hit by faults": count(live.hit),
  };
  for (const [name, value] of Object.entries(tiles)) {
    const tile = keep(byId("tiles"), name, () => h("div", { class: "card" }, h("dt", {}, name), h("dd")));
    tile.lastChild.textContent = value;
  }
}

const sum = (second) => Object.values(second).reduce((all, value) => all + value, 0);

function showActivity() {
  const width = 600 / live.activity.length;
  const most = Math.max(4, ...live.activity.map(sum));
  const bars = [];
  live.activity.forEach((second, place) => {
    let top = 64;
    for (const outcome of OUTCOMES) {
      if (!second[outcome]) continue;
      const height = Math.max(1.5, (second[outcome] / most) * 62);
      top -= height;
      bars.push(svg("rect", { x: place * width + 1, y: top, width: width - 2, height, rx: 1, class: outcome }));
    }
  });
  const chart = byId("bars");
  chart.replaceChildren(...bars);
  const totals = OUTCOMES.map((outcome) => [outcome, live.activity.reduce((all, second) => all + (second[outcome] ?? 0), 0)]);
  chart.setAttribute("aria-label", `Requests of the last minute: ${totals.map(([outcome, value]) => `${count(value)} ${outcome}`).join(", ")}`);
  const peak = Math.max(...live.activity.map(sum));
  byId("peak").textContent = peak ? `, at most ${count(peak)} a second` : "";
  byId("legend").replaceChildren(...totals.filter(([, value]) => value).map(([outcome, value]) => h("span", { class: outcome }, `${count(value)} ${outcome}`)));
}

function showFilters() {
  const box = byId("filters");
  box.hidden = lists.kind !== "requests";
  const choices = [["", "All", live.requests], ...OUTCOMES.map((outcome) => [outcome, outcome, live.outcomes[outcome] ?? 0]), ["fault", "hit by a fault", live.hit]];
  for (const [outcome, label, value] of choices) {
    const button = keep(box, outcome || "all", () => h("button", { type: "button", class: outcome, onclick: () => choose({ outcome }) }, h("span", {}, label), h("b")));
    button.setAttribute("aria-pressed", String(lists.outcome === outcome));
    button.lastChild.textContent = count(value);
  }
}

function emptyState(kind) {
  const what = { requests: "No request has come yet", events: "No event is stored yet", profiles: "There is no profile yet" }[kind];
  return h("div", { class: "empty" }, h("h2", {}, what),
    h("p", {}, "Point a client here: put these lines into a shell, and start your service there, or send a file."),
    connectionLines(connection),
    h("pre", { tabindex: "0" }, h("code", {}, "dfinery load events events.jsonl")),
    h("p", { class: "note" }, "Everything stays in this emulator's memory. Nothing reaches DFINERY."));
}

function wire() {
  const search = byId("search");
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => choose({ search: search.value }), 200);
  });
  TABS.forEach((name, place) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => choose({ kind: name }));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(place + step + TABS.length) % TABS.length];
      byId(`tab-${next}`).focus();
      choose({ kind: next });
    });
  });
  document.addEventListener("keydown", (event) => {
    const writing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !writing && !byId("details").open && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      search.focus();
    }
  });
  byId("pause").addEventListener("click", () => {
    paused = !paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    byId("pause").textContent = paused ? "Go on" : "Pause";
    poll();
  });
  wireEmpty(byId("empty"));
  byId("others").addEventListener("changed", poll);
  document.addEventListener("visibilitychange", poll);
}

// Asks once more before it throws everything away.
function wireEmpty(button) {
  let asked = 0;
  button.addEventListener("click", async () => {
    clearTimeout(asked);
    if (button.dataset.asked) {
      delete button.dataset.asked;
      button.textContent = "Empty";
      show(await change("POST", "/page/reset"));
      await follow();
      return;
    }
    button.dataset.asked = "yes";
    button.textContent = "Really empty?";
    asked = setTimeout(() => {
      delete button.dataset.asked;
      button.textContent = "Empty";
    }, 4000);
  });
}

wire();
makeSide((found) => (found.quotas ? show(found) : poll()));
connection = await get("/page/connection").catch(() => ({}));
byId("connection").replaceChildren(connectionLines(connection));
await poll();
