// The cards beside the lists: quota, faults, how to connect.

import { change, Refused } from "./calls.js";
import { byId, copyButton, count, duration, h, keep, plural } from "./dom.js";

const percent = (fault) => Number((fault.rate * 100).toPrecision(6));

const PRESETS = [
  { kind: "latency", label: "Latency", help: "Each call waits first", value: "50", unit: "ms", text: (value) => `latency=${value}ms`, read: (fault) => fault.seconds * 1000 },
  { kind: "status", label: "Server errors", help: "HTTP 500, not carried out", value: "5", unit: "%", text: (value) => `5xx=${value}%`, read: percent },
  { kind: "throttle", label: "Throttling", help: "Over the limit for 2 s", value: "5", unit: "%", text: (value) => `throttle=${value}%,seconds=2`, read: percent },
  { kind: "reset", label: "Resets", help: "Cut before it is read", value: "5", unit: "%", text: (value) => `reset=${value}%`, read: percent },
  { kind: "lost_answer", label: "Lost answers", help: "Carried out, then cut", value: "5", unit: "%", text: (value) => `lost_answer=${value}%`, read: percent },
  { kind: "poison", label: "Poison", help: "By name, id or value", value: "df_refund", unit: "", text: (value) => `poison=${value}`, read: (fault) => fault.match },
  { kind: "truncate", label: "Cut exports", help: "After so many bytes", value: "4096", unit: "B", text: (value) => `truncate=${value},family=exports`, read: (fault) => fault.size },
];

export function makeSide(refresh) {
  byId("presets").append(...PRESETS.map((preset) => presetRow(preset, refresh)));
  byId("other-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = byId("other");
    if (await attempt(() => change("POST", "/page/faults", input.value), refresh)) input.value = "";
  });
  const wide = matchMedia("(min-width: 62rem)").matches;
  byId("quota-card").open = byId("fault-card").open = wide;
}

export function showSide(live) {
  showQuotas(live.quotas);
  showFaults(live.faults);
}

export function connectionLines(connection) {
  const text = Object.entries(connection)
    .map(([name, value]) => (value === null ? `# ${name}: a token of your own` : `export ${name}=${value}`))
    .join("\n");
  return h("div", { class: "lines" }, h("pre", { tabindex: "0", "aria-label": "Lines for a shell" }, h("code", {}, text)), copyButton(text));
}

function showQuotas(quotas) {
  const box = byId("quotas");
  for (const quota of quotas) {
    const row = keep(box, quota.family, () =>
      h("div", { class: "quota" }, h("div", { class: "head" }, h("b", {}, quota.family), h("span")),
        h("div", { class: "gauge", role: "meter", "aria-label": `${quota.family}: calls left`, "aria-valuemin": "0" }, h("i")), h("small")));
    const [head, gauge, foot] = row.children;
    if (quota.calls === null) {
      head.lastChild.textContent = "no limit";
      gauge.hidden = true;
      continue;
    }
    const share = quota.calls ? quota.left / quota.calls : 0;
    head.lastChild.textContent = `${count(quota.left)} left`;
    gauge.setAttribute("aria-valuemax", quota.calls);
    gauge.setAttribute("aria-valuenow", quota.left);
    gauge.firstChild.style.width = `${share * 100}%`;
    gauge.dataset.level = share > 0.25 ? "fine" : share > 0 ? "low" : "out";
    const period = quota.period.replace(/^1 /, "").replace(/ ?s$/, " s").replace(/ ?m$/, " min").replace(/ ?h$/, " h").replace(/ ?d$/, " d").trim();
    foot.textContent = `of ${count(quota.calls)} calls per ${period}${quota.seconds === null ? "" : `, again in ${duration(quota.seconds)}`}`;
  }
  const limited = quotas.filter((quota) => quota.calls);
  const least = limited.reduce((low, quota) => (quota.left / quota.calls < low.left / low.calls ? quota : low), limited[0]);
  byId("quota-hint").textContent = least ? `${least.family} ${Math.floor((least.left / least.calls) * 100)}% left` : "";
}

function presetRow(preset, refresh) {
  const id = `fault-${preset.kind}`;
  const input = h("input", { id: `${id}-value`, type: "text", value: preset.value, inputmode: preset.unit ? "decimal" : "text", "aria-label": `${preset.label}, ${preset.unit || "what"}`, maxlength: "60", onchange: replace });
  const button = h("button", { type: "button", id, class: "switch", role: "switch", "aria-checked": "false", "aria-labelledby": `${id}-label`, onclick: toggle }, h("i"));
  const row = h("li", {},
    button,
    h("span", { class: "what" }, h("b", { id: `${id}-label` }, preset.label), h("small", { class: "help" }, preset.help)),
    h("span", { class: preset.unit ? "value" : "value wide" }, input, preset.unit));
  row.dataset.kind = preset.kind;

  async function toggle() {
    const number = row.dataset.number;
    await attempt(() => (number ? change("DELETE", `/page/faults/${number}`) : change("POST", "/page/faults", preset.text(input.value.trim()))), refresh);
  }
  async function replace() {
    const number = row.dataset.number;
    if (!number) return;
    await attempt(async () => {
      await change("POST", "/page/faults", preset.text(input.value.trim()));
      return change("DELETE", `/page/faults/${number}`);
    }, refresh);
  }
  return row;
}

function showFaults(faults) {
  const taken = new Set();
  for (const preset of PRESETS) {
    const row = [...byId("presets").children].find((each) => each.dataset.kind === preset.kind);
    const fault = faults.find((each) => each.kind === preset.kind);
    const help = row.querySelector(".help");
    row.querySelector("button").setAttribute("aria-checked", String(Boolean(fault)));
    row.classList.toggle("on", Boolean(fault));
    if (fault) {
      taken.add(fault.number);
      row.dataset.number = fault.number;
      help.textContent = `hit ${plural(fault.hits, "call")}`;
      row.title = fault.text;
      const input = row.querySelector("input");
      if (input !== document.activeElement) input.value = preset.read(fault);
    } else {
      delete row.dataset.number;
      row.title = "";
      help.textContent = preset.help;
    }
  }
  const others = byId("others");
  const rest = faults.filter((fault) => !taken.has(fault.number));
  others.replaceChildren(...rest.map((fault) => h("p", { class: "also" },
    h("code", {}, fault.text), h("small", {}, `hit ${plural(fault.hits, "call")}`),
    h("button", { type: "button", "aria-label": `Take away ${fault.text}`, onclick: () => attempt(() => change("DELETE", `/page/faults/${fault.number}`), () => others.dispatchEvent(new Event("changed", { bubbles: true }))) }, "Remove"))));
  byId("fault-hint").textContent = faults.length ? `${faults.length} on` : "all off";
  byId("fault-card").classList.toggle("on", faults.length > 0);
}

async function attempt(work, refresh) {
  const place = byId("other-error");
  try {
    place.textContent = "";
    refresh(await work());
    return true;
  } catch (error) {
    place.textContent = error instanceof Refused ? error.message : "The emulator does not answer.";
    return false;
  }
}
