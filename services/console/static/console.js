// The page is whole without this. With it: tables follow the socket, times are the reader's, charts are drawn again.
// What comes is data: it becomes text, never markup.

const body = document.body;
const wanted = (body.dataset.live || "").split(",").filter(Boolean);
// Whom the server lets command; it judges each command itself, this only draws what can be pressed.
const commands = body.dataset.role === "operator";
const STALE_MS = 5000;
const RETRY_MS = [250, 500, 1000, 2000, 5000];
const POLL_MS = 2000;

const twoDigits = (value) => String(value).padStart(2, "0");

function localTime(ns, exact) {
  const ms = Number(BigInt(ns) / 1000000n);
  const at = new Date(ms);
  const today = new Date();
  let text = `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}:${twoDigits(at.getSeconds())}`;
  if (exact) text += `.${String(at.getMilliseconds()).padStart(3, "0")}`;
  if (at.toDateString() !== today.toDateString()) text = `${at.toLocaleDateString()} ${text}`;
  return text;
}

const utcTime = (ns) => new Date(Number(BigInt(ns) / 1000000n)).toISOString().replace("T", " ");

function showTime(element, ns) {
  element.textContent = localTime(ns, element.dataset.exact);
  element.title = utcTime(ns);
}

// The session's clock may be a recording's: count from what the tape said last, on this machine's own clock.
let tapeNow = 0;
let tapeNowAt = 0;

function left(ns) {
  const until = Number(BigInt(ns) / 1000000n);
  if (!until || !tapeNow) return "–";
  const seconds = Math.floor((until - (tapeNow + performance.now() - tapeNowAt)) / 1000);
  if (seconds < 0) return "over";
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${twoDigits(seconds % 60)}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h${twoDigits(Math.floor((seconds % 3600) / 60))}`;
  return `${Math.floor(seconds / 86400)}d${twoDigits(Math.floor((seconds % 86400) / 3600))}`;
}

const SVG = "http://www.w3.org/2000/svg";

function bar(cell) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "bar");
  svg.setAttribute("viewBox", "0 0 100 6");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", cell.t);
  for (const [name, width] of [["whole", 100], ["part", cell.bar]]) {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", name);
    rect.setAttribute("width", width);
    rect.setAttribute("height", 6);
    svg.append(rect);
  }
  return svg;
}

const csrf = () => document.querySelector("input[name=csrf]")?.value ?? "";

function hidden(name, value) {
  const input = document.createElement("input");
  input.type = "hidden";
  input.name = name;
  input.value = value;
  return input;
}

function decide(order) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = "/command/approve";
  form.className = "inline";
  const approve = document.createElement("button");
  approve.className = "good small";
  approve.textContent = "Approve";
  const deny = document.createElement("button");
  deny.className = "small";
  deny.textContent = "Deny";
  deny.formAction = "/command/deny";
  form.append(hidden("csrf", csrf()), hidden("back", location.pathname), hidden("order", order), approve, deny);
  return form;
}

function fill(element, cell) {
  element.className = cell.c;
  if (cell.h !== undefined) {
    const link = document.createElement("a");
    link.href = cell.h;
    link.textContent = cell.t;
    const acts = cell.c.split(" ").includes("act");
    if (acts) link.className = "button small";
    element.replaceChildren(...(acts && !commands ? [] : [link]));
  } else if (cell.at) {
    const time = document.createElement("time");
    time.dataset.at = cell.at;
    showTime(time, cell.at);
    element.replaceChildren(time);
  } else if (cell.until !== undefined) {
    const span = document.createElement("span");
    span.dataset.until = cell.until;
    span.textContent = left(cell.until);
    element.replaceChildren(span);
  } else if (cell.bar !== undefined) {
    element.replaceChildren(bar(cell));
  } else if (cell.c.split(" ").includes("decide")) {
    element.replaceChildren(...(commands ? [decide(cell.t)] : []));
  } else {
    element.textContent = cell.t;
  }
}

function makeRow(as, key, cells) {
  const row = document.createElement(as === "tiles" ? "div" : "tr");
  row.dataset.key = key;
  const names = as === "tiles" ? ["dt", "dd", "dd"] : cells.map(() => "td");
  cells.forEach((cell, index) => {
    const element = document.createElement(names[index]);
    fill(element, cell);
    row.append(element);
  });
  row.cells_ = cells;
  return row;
}

function updateRow(row, cells) {
  const known = row.cells_ || [];
  cells.forEach((cell, index) => {
    if (JSON.stringify(known[index]) !== JSON.stringify(cell)) fill(row.children[index], cell);
  });
  row.cells_ = cells;
}

function arrange(parent, keys, rows) {
  const ordered = keys.map((key) => rows.get(key)).filter(Boolean);
  const kept = new Set(ordered);
  for (const row of [...parent.children]) if (!kept.has(row)) row.remove();
  ordered.forEach((row, index) => {
    if (parent.children[index] !== row) parent.insertBefore(row, parent.children[index] ?? null);
  });
}

// No row moves under a finger: while somebody is there, what is new waits (where rows have buttons it comes at the end), and
// what is gone stays, greyed and without its buttons.
const PRESSED = ["waiting", "positions"];
const held = new Map();
const isPointedAt = (table) => table.matches(":hover") || table.contains(document.activeElement);

function hold(table, parent, keys, rows, atTheEnd) {
  const wanted = new Set(keys);
  const waiting = held.get(table)?.waiting ?? new Map();
  for (const key of keys) {
    const row = rows.get(key) ?? waiting.get(key);
    if (row === undefined || row.isConnected) continue;
    if (atTheEnd) parent.append(row);
    else waiting.set(key, row);
  }
  for (const row of parent.children) {
    row.classList.toggle("gone", !wanted.has(row.dataset.key));
    for (const button of row.querySelectorAll("button")) button.disabled = !wanted.has(row.dataset.key);
  }
  held.set(table, { keys, waiting });
  table.classList.add("held");
}

function release() {
  for (const [table, { keys, waiting }] of held) {
    if (isPointedAt(table)) continue;
    const parent = table.tBodies[0];
    const rows = new Map([...parent.children].map((row) => [row.dataset.key, row]));
    arrange(parent, keys, new Map([...waiting, ...rows]));
    table.classList.remove("held");
    held.delete(table);
  }
}

function apply(name, change, isFirst) {
  for (const table of document.querySelectorAll(`[data-table="${name}"]`)) {
    const as = table.dataset.as;
    const parent = as === "tiles" ? table : table.tBodies[0];
    const rows = new Map([...(held.get(table)?.waiting ?? []), ...[...parent.children].map((row) => [row.dataset.key, row])]);
    for (const [key, shown] of Object.entries(change.rows || {})) {
      const row = rows.get(key);
      if (row === undefined) {
        const made = makeRow(as, key, shown.cells);
        if (!isFirst && as !== "tiles") made.className = "changed";
        rows.set(key, made);
      } else {
        updateRow(row, shown.cells);
      }
    }
    if (change.keys !== undefined) {
      if (!isFirst && as !== "tiles" && isPointedAt(table)) hold(table, parent, change.keys, rows, PRESSED.includes(name));
      else arrange(parent, change.keys, rows);
    }
    const empty = table.parentElement.querySelector(".empty");
    if (empty) empty.hidden = parent.children.length > 0;
    const section = table.closest("[data-hide-empty]");
    if (section) section.hidden = parent.children.length === 0;
  }
}

// ── state of the line ──

let heardAt = 0;
let storedAt = "";
let lost = false;
const stale = document.getElementById("stale");

function showStatus(status) {
  heardAt = performance.now();
  tapeNow = Number(BigInt(status.now) / 1000000n);
  tapeNowAt = heardAt;
  storedAt = status.stored_at;
  const orders = document.getElementById("orders-state");
  const text = status.orders === "open" ? "orders may leave" : status.orders;
  if (orders.textContent !== text) orders.textContent = text;
  orders.className = `state ${status.orders === "open" ? "good" : "bad"}`;
  document.getElementById("seq").textContent = `sequence ${status.seq}`;
  for (const badge of document.querySelectorAll("[data-count]")) {
    const count = status[badge.dataset.count];
    badge.textContent = count;
    badge.hidden = !count;
  }
  // The banner of a halt, with its form, is the server's: a page that does not have it is fetched again.
  const halted = Boolean(status.halted) || ["halted", "close_only"].includes(status.risk_state);
  if (halted !== Boolean(document.querySelector(".banner.halted"))) reloadSoon();
  broker = status.broker;
}

let broker = "up";
let reloading = false;

function reloadSoon() {
  const typing = document.activeElement instanceof HTMLInputElement && document.activeElement.value !== "";
  if (reloading || typing || document.querySelector("details.halt[open]")) return;
  reloading = true;
  // What a refused command answered is no page that can be fetched again.
  setTimeout(() => (location.pathname.startsWith("/command/") ? location.assign("/") : location.reload()), 300);
}

function checkAge() {
  release();
  for (const element of document.querySelectorAll("[data-until]")) element.textContent = left(element.dataset.until);
  const silentMs = heardAt ? performance.now() - heardAt : 0;
  const behindMs = storedAt && broker === "up" ? 0 : silentMs;
  const age = document.getElementById("age");
  const isStale = silentMs > STALE_MS || broker !== "up";
  body.classList.toggle("is-stale", isStale);
  stale.hidden = !isStale;
  if (isStale) {
    const text = broker !== "up" && silentMs <= STALE_MS
      ? "The broker does not answer: what is shown is what was known. HALT works all the same."
      : `No connection: data is ${Math.floor(silentMs / 1000)} s old. HALT works as soon as the console answers.`;
    if (stale.textContent !== text) stale.textContent = text;
    age.textContent = `data ${Math.floor(Math.max(silentMs, behindMs) / 1000)} s old`;
  } else {
    age.textContent = lost ? "polling" : "live";
  }
  for (const button of document.querySelectorAll("td.decide button, td.act a")) {
    button.toggleAttribute("disabled", isStale || Boolean(button.closest("tr.gone")));
  }
}

// ── the socket, and what stands in for it ──

let attempts = 0;
let expected = 0;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/api/v1/live`);
  socket.addEventListener("open", () => socket.send(JSON.stringify({ tables: wanted })));
  socket.addEventListener("message", (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type !== "snapshot" && frame.n !== expected) {
      socket.close();
      return;
    }
    expected = frame.n + 1;
    attempts = 0;
    lost = false;
    body.dataset.connected = "yes";
    showStatus(frame.status);
    for (const [name, change] of Object.entries(frame.tables)) apply(name, change, frame.type === "snapshot");
  });
  socket.addEventListener("close", (event) => {
    delete body.dataset.connected;
    lost = true;
    if (event.code === 4401) {
      body.replaceChildren();
      location.assign("/login");
      return;
    }
    setTimeout(connect, RETRY_MS[Math.min(attempts++, RETRY_MS.length - 1)]);
  });
}

async function poll() {
  if (!lost) return;
  try {
    const address = wanted.length ? `/api/v1/state?tables=${wanted.join(",")}` : "/api/v1/status";
    const answer = await fetch(address, { credentials: "same-origin" });
    if (answer.status === 401) location.assign("/login");
    if (!answer.ok) return;
    const told = await answer.json();
    const state = wanted.length ? told : { status: told, tables: {} };
    if (!lost) return;
    showStatus(state.status);
    for (const [name, table] of Object.entries(state.tables)) apply(name, table, true);
  } catch {
    // The next one may reach it; the banner says how old the data is.
  }
}

async function redraw(figure) {
  try {
    const answer = await fetch(figure.dataset.chart, { credentials: "same-origin" });
    if (!answer.ok) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "image/svg+xml");
    if (parsed.documentElement.tagName === "svg") figure.replaceChildren(document.importNode(parsed.documentElement, true));
  } catch {
    // As above.
  }
}

for (const element of document.querySelectorAll("time[data-at]")) showTime(element, element.dataset.at);
// Without tables, too: the state at the top must be true on every page.
connect();
setInterval(poll, POLL_MS);
setInterval(checkAge, 250);
const figures = document.querySelectorAll("figure[data-chart]");
if (figures.length) setInterval(() => figures.forEach(redraw), 5000);

// Ids can be copied: a press on one with the modifier key, or the context menu's own way.
document.addEventListener("click", (event) => {
  const cell = event.target.closest?.("td.id a, code");
  if (cell && event.altKey) {
    event.preventDefault();
    navigator.clipboard?.writeText(cell.textContent);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector("details.halt[open]")?.removeAttribute("open");
});
