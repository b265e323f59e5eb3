// The page /send: one table of all that the user sends, which the server keeps while the page is closed.
//
// Each case and service has a row.  The server knows the rows and their states (/api/batch); this page knows the files,
// and uploads them.  When the last byte has come, the server goes on by itself.
import { estimateFor } from "./estimates.js";
import { Wrong, dropped, grouped, partsOf } from "./files.js";
import { Again, forget, keyOf, recall, remember, tagsOf } from "./memory.js";
import { Changed, Cut, Refused, good, newKey, passes, patiently, pause, post, postOnce, upload, usePrefix } from "./transfer.js";

const AT_ONCE = 2, QUOTA_MS = 5000, LOOK_MS = 2000, MOST_WRONG = 20, TOGETHER = 20;
const QUOTA = "Maximum allowed number of open tickets";
const form = document.getElementById("send");
const $ = (id) => document.getElementById(id);
const prefix = form ? form.dataset.prefix : "";
const replaced = form ? Number(form.dataset.ticket || 0) : 0;
const local = new Map(); // cases whose files this page has, by key
let listed = []; // rows of the server
let running = 0, looking = false;
const again = new Again();
let kept = []; // files that were dropped before a service was chosen
let notice = ""; // in place of the sum, about the files that were chosen last

// ---- one case
const told = (item) => (sentence) => say(item, sentence ? "waiting" : "sending", sentence);

async function run(item) {
  try {
    say(item, "sending", "");
    recall(item);
    if (item.ticket && !(await isOpen(item))) [item.ticket, item.places] = [0, {}];
    if (!item.ticket) await openTicket(item);
    await keep(item);
    const files = item.parts.map((part) => ({ name: part.name, size_bytes: part.blob.size, tag: part.tag }));
    const request = JSON.stringify({ files, series: item.series, as_it_is: item.asItIs });
    await patiently(() => post(`/api/tickets/${item.ticket}/intake`, { request, title: item.name }), told(item));
    for (const part of item.parts) await send(item, part);
    finish(item);
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Cut || error instanceof Changed)) console.debug(error);
    if (await isPast(item)) return finish(item); // another tab has sent the same files
    if (!(error instanceof Cut)) await discard(item);
    say(item, "failed", error.message);
  }
}

function finish(item) {
  forget(item.key);
  say(item, "sent", "");
  look();
}

async function send(item, part) {
  await upload(item.ticket, part, item.places, {
    noted: () => remember(item),
    moved: (bytes) => { item.moved.set(part, bytes); showSent(item); },
    told: told(item),
  });
}

// True if the ticket still takes files.  A ticket that the portal does not know, or that is past that, is left alone.
async function isOpen(item) {
  try {
    return (await patiently(() => good("GET", `/api/tickets/${item.ticket}/status`), told(item))).responseText === "init";
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

// True if all files have come, so that the server goes on by itself.
async function isPast(item) {
  if (!item.ticket) return false;
  try {
    const state = (await good("GET", `/api/tickets/${item.ticket}/status`)).responseText;
    if (state !== "init") return ["ready", "claimed", "success", "failed"].includes(state);
    const { result } = JSON.parse((await good("GET", `/api/tickets/${item.ticket}/intake`)).responseText);
    return ["reading", "placing", "waiting", "done"].includes(result.state);
  } catch {
    return false;
  }
}

// Nothing half-made stays: a ticket that was never queued would count in the quota.
async function discard(item) {
  if (!item.ticket || replaced) return;
  try {
    await post(`/tickets/${item.ticket}/delete`, { form_token: form.elements.form_token.value });
  } catch { /* the portal gives it up by itself in the end */ }
  [item.ticket, item.places] = [0, {}];
  if (item.tagged.length) remember(item);
  else forget(item.key);
  await keep(item).catch(() => {});
}

// The key makes a repeated request give the same ticket, also after the page was closed before the answer came.
async function openTicket(item) {
  if (!item.creation) item.creation = newKey();
  remember(item);
  for (;;) {
    try {
      item.ticket = replaced || Number((await postOnce("/api/tickets", { name: item.service }, item.creation)).responseText);
      [item.places, item.creation] = [{}, ""];
      remember(item);
      return;
    } catch (error) {
      if (error instanceof Refused && error.message.startsWith(QUOTA)) {
        say(item, "waiting", "You have as many open tickets as you may; this one waits for a free place.");
      } else if (!passes(error)) throw error;
      else say(item, "waiting", "The server does not answer; trying again.");
      await pause(QUOTA_MS);
    }
  }
}

// Tells the server of a case, so that it is known after this page was closed.
const rowOf = (item) => ({ key: item.key, name: item.name, service: item.service, size_bytes: item.bytes, files: item.files.length, ticket: item.ticket });
const keep = (item) => patiently(() => post("/api/batch", { cases: JSON.stringify([rowOf(item)]) }), told(item));

// ---- the table
const WORDS = {
  "wanted": "files wanted", "waiting": "waits", "sending": "is sent", "sent": "is sent", "failed here": "not sent", "coming": "is sent", "reading": "is read", "placing": "is read",
  "ready": "queued", "claimed": "at work", "success": "done", "failed": "failed", "timeout": "given up", "not sent": "not sent",
};
const AFTER = ["reading", "placing", "ready", "claimed", "success", "failed", "timeout", "not sent"];
const BAD = ["failed", "timeout", "not sent", "failed here"];
const size = (bytes) => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;

function say(item, state, sentence) {
  item.state = state === "failed" ? "failed here" : state;
  item.sentence = sentence;
  draw();
}

function showSent(item) {
  item.sentBytes = [...item.moved.values()].reduce((sum, more) => sum + more, 0);
  item.sentFiles = item.parts.reduce((sum, part) => sum + part.inside.filter((end) => end <= (item.moved.get(part) || 0)).length, 0);
  draw();
}

// The rows of the server, with what this page knows better; then those that the server does not know yet.
function rows() {
  const known = new Set(listed.map((row) => row.key));
  const fresh = [...local.values()].filter((item) => !known.has(item.key)).map((item) => ({ ...rowOf(item), state: "wanted", sentence: "", series: [] }));
  return [...listed, ...fresh].map((row) => {
    const item = local.get(row.key);
    const isAhead = item && !(AFTER.includes(row.state) && ["sent", "failed here"].includes(item.state) && row.ticket === item.ticket);
    if (!isAhead) return { ...row, item };
    return { ...row, item, ticket: item.ticket, state: row.state === "waiting" && item.state === "sent" ? "waiting" : item.state, sentence: item.sentence || (item.state === "sent" ? row.sentence : "") };
  });
}

let drawn = false;
function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => { drawn = false; drawNow(); });
}

function link(text, href) {
  const made = document.createElement("a");
  [made.href, made.textContent] = [prefix + href, text];
  return made;
}

function fill(row, cells) {
  const [name, service, sent, state] = cells;
  name.textContent = row.name;
  if (row.files > 1) name.append(Object.assign(document.createElement("small"), { textContent: ` ${row.files} files` }));
  service.textContent = row.service;
  const item = row.item;
  const isMoving = item && ["sending", "waiting"].includes(item.state) && !AFTER.includes(row.state);
  if (isMoving) {
    const bar = sent.querySelector("progress") || document.createElement("progress");
    [bar.max, bar.value] = [item.uploadBytes || 1, item.sentBytes];
    bar.setAttribute("aria-label", `Sent of ${row.name}`);
    const files = item.parts.reduce((sum, part) => sum + part.inside.length, 0);
    const words = files > 1 ? `${item.sentFiles} of ${files} files, ${size(item.sentBytes)} of ${size(item.uploadBytes)}` : `${size(item.sentBytes)} of ${size(item.uploadBytes)}`;
    sent.replaceChildren(bar, Object.assign(document.createElement("small"), { textContent: ` ${words}` }));
  } else sent.textContent = row.state === "wanted" ? "" : size(row.size_bytes);
  const badge = document.createElement("span");
  badge.className = `badge ${BAD.includes(row.state) ? "failed" : row.state}`;
  badge.textContent = WORDS[row.state] || row.state;
  const parts = [badge];
  if (row.verdict) {
    const kind = row.verdict === "good" ? "success" : "look";
    parts.push(" ", Object.assign(document.createElement("span"), { className: `badge ${kind}`, textContent: row.verdict }));
  }
  if (row.sentence) parts.push(Object.assign(document.createElement("small"), { className: "why", textContent: row.sentence }));
  const links = Object.assign(document.createElement("span"), { className: "actions" });
  if (row.ticket && AFTER.includes(row.state)) links.append(link(`Ticket ${row.ticket}`, `/tickets/${row.ticket}`));
  if (row.state === "not sent" && row.ticket) {
    links.append(row.series.length ? link("Choose a series", `/tickets/${row.ticket}`) : link("Replace the files", `/send?ticket=${row.ticket}`));
  }
  if (links.childElementCount) parts.push(" ", links);
  state.replaceChildren(...parts);
}

function drawNow() {
  const shown = rows();
  const body = $("batch-rows");
  $("batch").hidden = !shown.length && !notice && !$("refused").childElementCount;
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  shown.forEach((row, place) => {
    let line = old.get(row.key);
    if (!line) {
      line = document.createElement("tr");
      line.dataset.key = row.key;
      for (const label of ["Files", "Service", "Sent", "State"]) line.insertCell().dataset.label = label;
    }
    old.delete(row.key);
    const now = JSON.stringify([row.state, row.sentence, row.verdict, row.ticket, row.item && row.item.sentBytes]);
    if (line.dataset.shown !== now) {
      fill(row, [...line.cells]);
      line.dataset.shown = now;
    }
    if (body.rows[place] !== line) body.insertBefore(line, body.rows[place] || null);
  });
  for (const line of old.values()) line.remove();
  sum(shown);
}

function namedAgain(row) {
  const tags = tagsOf(row.key);
  return tags.length ? `${row.name} with its image for ${tags.join(", ")}` : row.name;
}

const isWanted = (row) => row.state === "wanted" && !row.item;
const canRetry = (row) => (row.item && row.item.state === "failed here") || ["failed", "timeout"].includes(row.state);

function sum(shown) {
  const count = (...states) => shown.filter((row) => states.includes(row.state)).length;
  const queued = count("ready", "claimed", "success"), bad = count(...BAD);
  const parts = [`${queued} of ${shown.length} queued`];
  if (count("success")) parts.push(`${count("success")} done`);
  if (bad) parts.push(`${bad} not sent or failed`);
  const text = notice || (shown.length ? `${parts.join(", ")}.` : "");
  if ($("batch-state").textContent !== text) $("batch-state").textContent = text;
  $("retry").hidden = !shown.some(canRetry);
  $("clear").hidden = !shown.some((row) => ["success", "failed", "timeout"].includes(row.state));
  const wanted = shown.filter(isWanted);
  $("again").hidden = !wanted.length;
  const names = [...new Set(wanted.map(namedAgain))];
  $("again-names").textContent = names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} more` : "");
  $("again-folder").hidden = !wanted.some((row) => row.files > 1);
  $("again-files").hidden = !wanted.some((row) => row.files === 1);
}

// ---- what the server knows
async function look() {
  if (looking) return;
  looking = true;
  try {
    listed = JSON.parse((await good("GET", "/api/batch")).responseText).result;
    const known = new Set(listed.map((row) => row.key)); // a deleted ticket has no row
    for (const item of [...local.values()]) if (item.state === "sent" && !known.has(item.key)) local.delete(item.key);
    draw();
  } catch { /* the next look tells */ }
  looking = false;
}

const isMoving = () => rows().some((row) => !["wanted", "success", "failed", "timeout", "not sent"].includes(row.state));

// ---- taking files
function work() {
  while (running < AT_ONCE) {
    const item = [...local.values()].find((each) => each.state === "waiting" && !each.busy);
    if (!item) return;
    item.busy = true;
    running += 1;
    run(item).finally(() => {
      item.busy = false;
      running -= 1;
      work();
    });
  }
}

function refuse(pairs) {
  const shown = pairs.slice(0, MOST_WRONG).map(([path, sentence]) => `${path}: ${sentence}`);
  if (pairs.length > MOST_WRONG) shown.push(`and ${pairs.length - MOST_WRONG} more files that were left out.`);
  $("refused").replaceChildren(...shown.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("refused").hidden = !shown.length;
}

const servicesChosen = () => [...form.querySelectorAll("[name=service]:checked")];

function taggedFor(service) {
  const found = [];
  for (const input of form.querySelectorAll("input[data-tag]")) {
    if (input.dataset.service === service && input.files.length) found.push([input.dataset.tag, input.files[0]]);
  }
  return found;
}

function unfitReason(boxes, count) {
  if (!boxes.length) return "Choose a service.";
  if (!count) return "Choose a file.";
  for (const box of boxes) {
    if (box.dataset.unfit) return box.dataset.unfit;
    const tags = JSON.parse(box.dataset.tags), given = taggedFor(box.value).map(([tag]) => tag);
    const missing = tags.filter((tag) => tag.required && !given.includes(tag.name)).map((tag) => tag.name);
    if (missing.length) return `${box.value} needs an image for ${missing.join(", ")} besides the main image; choose it below.`;
    if (given.length && count > 1) return `Send one main image at a time to ${box.value}, with the image for ${given.join(", ")}.`;
  }
  if (replaced && count > 1) return "Choose the files of one image, since they replace those of one ticket.";
  return "";
}

function notify(text) {
  notice = text;
  drawNow();
}

// A few at a time: the server takes no form of more than 64 kB.
async function announce(items) {
  for (let at = 0; at < items.length; at += TOGETHER) {
    const cases = JSON.stringify(items.slice(at, at + TOGETHER).map(rowOf));
    await patiently(() => post("/api/batch", { cases }), () => {});
  }
}

async function take(files) {
  const boxes = servicesChosen();
  notify(files.length ? "The files are being looked at." : "Choose a file.");
  const { cases, wrong } = await grouped(files, (done, all) => {
    if (all > 50 && done % 50 === 0) notify(`${done} of ${all} files were looked at.`);
  });
  refuse(wrong);
  const onlyWrong = wrong.length && !cases.length;
  const reason = onlyWrong ? `${wrong.length} not sent.` : cases.some((each) => !each.asItIs) || !cases.length ? unfitReason(boxes, cases.length) : boxes.length ? "" : "Choose a service.";
  notify(reason);
  if (reason) return Boolean(onlyWrong);
  for (const each of cases) for (const box of boxes) add(each, box.value);
  const fresh = [...local.values()].filter((item) => item.state === "waiting" && !item.ticket && !item.isKept);
  for (const item of fresh) item.isKept = true;
  draw();
  if (fresh.length) { // all are known to the server before the first one is sent
    await announce(fresh).catch((error) => notify(error.message));
  }
  await look();
  work();
  return true;
}

function add(found, service) {
  const series = form.elements.series ? form.elements.series.value : "";
  const tagged = found.asItIs ? [] : taggedFor(service);
  const base = keyOf(service, series, replaced, found.files, tagged);
  let key = base;
  for (let n = 2; isSentAlready(key); n += 1) key = `${base}-${n}`;
  const row = listed.find((each) => each.key === key);
  const item = itemOf(found, tagged, { key, service, series, ticket: row ? row.ticket : 0 });
  if (tagged.length) remember(item);
}

function itemOf(found, tagged, more) {
  const item = {
    ...found, ...more, tagged, places: {}, moved: new Map(), sentBytes: 0, sentFiles: 0, state: "waiting", sentence: "",
    bytes: found.files.reduce((all, file) => all + file.size, 0), parts: partsOf(found, tagged, more.key.replace(/-\d+$/, "")),
  };
  item.uploadBytes = item.parts.reduce((all, part) => all + part.blob.size, 0);
  local.set(item.key, item);
  return item;
}

// The same files again are another case, unless they are those that an earlier visit did not send to their end.
function isSentAlready(key) {
  const row = listed.find((each) => each.key === key), item = local.get(key);
  return item ? item.state !== "failed here" : Boolean(row) && row.state !== "wanted";
}

const guarded = (act) => act().catch((error) => {
  if (!(error instanceof Wrong)) console.debug(error);
  notify(error.message);
});

async function retryAll() {
  for (const row of rows().filter(canRetry)) {
    if (row.item && row.item.state === "failed here") {
      row.item.moved.clear();
      say(row.item, "waiting", "");
    } else await post(`/tickets/${row.ticket}/retry`, { form_token: form.elements.form_token.value }).catch(() => {});
  }
  work();
  await look();
}

// ---- the form
function showTags() {
  for (const box of form.querySelectorAll("[name=service]")) {
    const place = $(`tags-${box.value}`);
    if (place) place.hidden = !box.checked;
    const unfit = $(`unfit-${box.value}`);
    if (unfit) unfit.hidden = !box.checked;
  }
}

function start() {
  usePrefix(prefix);
  $("files").multiple = true;
  for (const element of document.querySelectorAll(".with-script")) element.hidden = false;
  for (const button of form.querySelectorAll("[name=service]")) {
    if (!replaced) button.type = "checkbox";
    button.required = false;
  }
  form.addEventListener("change", showTags);
  for (const input of [$("files"), $("folder")]) input.addEventListener("change", () => estimateFor([...$("files").files, ...$("folder").files]));
  showTags();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!servicesChosen().length) return notify("Choose a service."); // the files stay chosen
    const files = [...kept, ...$("files").files, ...$("folder").files];
    guarded(async () => {
      if (!(await take(files))) return; // they stay chosen
      kept = [];
      $("files").value = $("folder").value = "";
    });
  });
  $("files").required = false;
  form.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  form.addEventListener("dragleave", () => $("drop").classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    guarded(async () => begin(await dropped(event.dataTransfer)));
  });
  $("retry").querySelector("button").addEventListener("click", () => guarded(retryAll));
  $("clear").querySelector("button").addEventListener("click", () => guarded(async () => {
    await post("/api/batch/remove", {});
    for (const row of rows()) if (row.item && ["success", "failed", "timeout"].includes(row.state)) local.delete(row.key);
    await look();
  }));
  for (const [button, input] of [["again-files", "again-files-input"], ["again-folder", "again-folder-input"]]) {
    $(button).addEventListener("click", () => $(input).click());
    $(input).addEventListener("change", () => guarded(() => takeAgain([...$(input).files])));
  }
  $("again-drop").addEventListener("click", () => guarded(async () => {
    const keys = rows().filter(isWanted).map((row) => row.key);
    await post("/api/batch/remove", { keys: JSON.stringify(keys) });
    keys.forEach(forget);
    await look();
  }));
  window.addEventListener("beforeunload", (event) => {
    if (running > 0) event.preventDefault();
  });
  look();
  setInterval(() => { if (isMoving() || local.size) look(); }, LOOK_MS);
}

// Files of an earlier visit, for the services that they were chosen for then.
async function takeAgain(files) {
  const { cases } = await grouped(files);
  again.add(cases, files);
  const found = again.matches(rows().filter(isWanted));
  for (const { row, found: each, series, tagged } of found) {
    itemOf(each, tagged, { key: row.key, service: row.service, series, ticket: row.ticket, isKept: true });
  }
  const isTagged = rows().filter(isWanted).some((row) => tagsOf(row.key).length);
  const more = isTagged ? " An image with others for its tags goes when all of them were chosen." : "";
  notify(found.length ? "" : `None of these files is all of a case that is wanted, or it has changed since.${more}`);
  draw();
  work();
}

// Files that were dropped: they are sent at once, or wait until a service is chosen.
export async function begin(files) {
  if (servicesChosen().length) return take(files);
  const { cases, wrong } = await grouped(files);
  refuse(wrong);
  kept = cases.flatMap((each) => each.files);
  if (!kept.length) return notify(`${wrong.length} not sent.`);
  estimateFor(kept);
  notify(`${kept.length === 1 ? "1 file waits" : `${kept.length} files wait`} to be sent. Choose a service, then Send.`);
}

if (form) start();
