// Sends files from the page /send: several at once, over connections that may be cut (tus 1.0.0), to several services.
//
// Each case (one NIfTI file, or one workspace with its files) and service has a row in the table.  What the server has of
// an upload is noted in localStorage under a hash of the files' names, sizes and dates, until the ticket is submitted.
"use strict";
(() => {
  const form = document.getElementById("send");
  if (!form) return;
  const prefix = document.currentScript.dataset.prefix;
  const PART_BYTES = 8 * 2 ** 20, LEAST_PART_BYTES = 2 ** 20;
  const AT_ONCE = 2, QUOTA_MS = 5000, FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 15000, PATIENCE_MS = 300000;
  const QUOTA = "Maximum allowed number of open tickets";
  const UNANSWERED = "The server does not answer; trying again.";
  const SUBMITTED = ["ready", "claimed", "success", "failed", "timeout"];
  const TUS = { "Tus-Resumable": "1.0.0" };
  const chooser = document.getElementById("files");
  const rows = document.getElementById("batch-rows");
  const state = document.getElementById("batch-state");
  const retry = document.getElementById("retry");
  const cases = [];
  let running = 0;

  // ---- requests
  class Refused extends Error {
    constructor(status, text) {
      super(text.trim().startsWith("<") || !text.trim() ? `The server answered with status ${status}.` : text.trim());
      this.status = status;
    }
  }
  class Cut extends Error {}
  class Wrong extends Error {}

  function ask(method, path, { headers = {}, body = null, moved = null } = {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, prefix + path);
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      if (moved) request.upload.onprogress = (event) => moved(event.loaded);
      request.onload = () => resolve(request);
      request.onerror = request.onabort = request.ontimeout = () => reject(new Cut("The connection was cut."));
      request.send(body);
    });
  }

  async function good(method, path, options, statuses = [200]) {
    const answer = await ask(method, path, options);
    if (!statuses.includes(answer.status)) throw new Refused(answer.status, answer.responseText);
    return answer;
  }

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const passes = (error) => error instanceof Cut || [408, 409, 423, 429, 502, 503, 504].includes(error.status);

  // Repeats what may be done twice until it succeeds or cannot.
  async function patiently(act, told) {
    let wait = FIRST_PAUSE_MS;
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!passes(error) || Date.now() > end) throw error;
      }
      told(UNANSWERED);
      await pause(wait);
      wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
    }
  }

  // ---- what is remembered while the page is closed
  function hash(text) { // FNV-1a, twice; names of files may name patients and are not kept
    let [a, b] = [0x811c9dc5, 0x1000193];
    for (const unit of new TextEncoder().encode(text)) {
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x85ebca6b);
    }
    return (a >>> 0).toString(16) + (b >>> 0).toString(16);
  }
  const keyOf = (item) => "dss-send-" + hash(JSON.stringify(
    [item.service, item.files.map((file) => [file.name, file.size, file.lastModified])]));

  function remember(item) {
    try {
      localStorage.setItem(keyOf(item), JSON.stringify({ ticket: item.ticket, places: item.places }));
    } catch { /* it is full, or forbidden: then nothing is resumed after the page was closed */ }
  }
  function recall(item) {
    try {
      Object.assign(item, JSON.parse(localStorage.getItem(keyOf(item))) || {});
    } catch { /* nothing of ours */ }
  }
  function forget(item) {
    try {
      localStorage.removeItem(keyOf(item));
    } catch { /* as above */ }
  }

  // ---- one case
  const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const isWorkspace = (file) => file.name.toLowerCase().endsWith(".itksnap");
  const hasWorkspace = (item) => item.files.some(isWorkspace);
  const storedName = (item, file) =>
    hasWorkspace(item) ? file.name : file.name.toLowerCase().endsWith(".gz") ? "image.nii.gz" : "image.nii";

  async function run(item) {
    try {
      say(item, "being read", "");
      for (const file of item.files) await judge(item, file);
      recall(item);
      const found = item.ticket ? await statusOf(item) : "";
      if (!SUBMITTED.includes(found)) await send(item, found === "init"); // otherwise the answer was lost
      done(item);
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Cut || error instanceof Wrong)) console.debug(error);
      const isOver = error instanceof Refused || error instanceof Wrong;
      if (isOver && SUBMITTED.includes(await discarded(item))) done(item); // another tab has sent the same files
      else say(item, "failed", error.message);
    }
  }

  function done(item) {
    forget(item);
    say(item, "submitted", "");
  }

  async function send(item, goesOn) {
    if (!goesOn) await openTicket(item);
    for (const file of item.files) await upload(item, file);
    await submit(item);
  }

  // Nothing half-made stays: a ticket that was never submitted would count in the quota.  A submitted one stays.
  // Returns the ticket's status before.
  async function discarded(item) {
    if (!item.ticket) return "";
    let found = "";
    try {
      found = await statusOf(item);
      if (found !== "init") return found;
      const body = new URLSearchParams({ form_token: form.elements.form_token.value });
      await ask("POST", `/tickets/${item.ticket}/delete`, { body });
    } catch { /* the portal gives it up by itself in the end */ }
    forget(item);
    [item.ticket, item.places] = [0, {}];
    return found;
  }

  async function judge(item, file) {
    if (hasWorkspace(item)) return;
    const begin = new Uint8Array(await bytesOf(file.slice(0, 4)));
    const packed = begin[0] === 0x1f && begin[1] === 0x8b;
    const number = begin.length === 4 ? new DataView(begin.buffer) : null;
    const sizes = number ? [number.getInt32(0, true), number.getInt32(0, false)] : [];
    const isNifti = file.name.toLowerCase().endsWith(".gz") ? packed : sizes.includes(348) || sizes.includes(540);
    if (/\.nii(\.gz)?$/i.test(file.name) && isNifti) return;
    throw new Wrong("This is not a NIfTI file (.nii, .nii.gz). DICOM, NRRD and MetaImage files are sent by the program dss.");
  }

  async function bytesOf(blob) {
    try {
      return await blob.arrayBuffer();
    } catch {
      throw new Wrong("This cannot be read: it has changed or gone since it was chosen, or is a folder. Choose its files again.");
    }
  }

  // "" if there is no such ticket of the user's.
  async function statusOf(item) {
    try {
      const answer = await patiently(() => good("GET", `/api/tickets/${item.ticket}/status`), (text) => say(item, "waiting", text));
      return answer.responseText;
    } catch (error) {
      if (error instanceof Refused && error.status === 400) return "";
      throw error;
    }
  }

  async function openTicket(item) {
    for (;;) {
      const body = new URLSearchParams({ name: item.service });
      try {
        const answer = await good("POST", "/api/tickets", { body });
        item.ticket = Number(answer.responseText);
        item.places = {};
        remember(item);
        return;
      } catch (error) {
        if (error instanceof Refused && error.message.startsWith(QUOTA)) {
          say(item, "waiting", "You have as many open tickets as you may; this one waits for a free place.");
        } else if (!passes(error)) throw error;
        else say(item, "waiting", UNANSWERED);
        await pause(QUOTA_MS);
      }
    }
  }

  async function upload(item, file) {
    let wait = FIRST_PAUSE_MS, end = Date.now() + PATIENCE_MS, part = PART_BYTES, at = -1;
    const uploads = `/api/tickets/${item.ticket}/uploads`;
    const told = (bytes) => showSent(item, file, bytes);
    for (;;) {
      try {
        if (at < 0) at = await offsetOf(item, file, uploads);
        told(at);
        if (at === file.size) return;
        say(item, "sending", "");
        const body = await bytesOf(file.slice(at, Math.min(at + part, file.size)));
        const headers = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(at) };
        const answer = await good("PATCH", `${uploads}/${item.places[file.name]}`,
          { headers, body, moved: (bytes) => told(at + Math.min(bytes, body.byteLength)) }, [204]);
        at = Number(answer.getResponseHeader("Upload-Offset"));
        [wait, end, part] = [FIRST_PAUSE_MS, Date.now() + PATIENCE_MS, Math.min(2 * part, PART_BYTES)];
      } catch (error) {
        at = -1;
        part = Math.max(part / 2, LEAST_PART_BYTES);
        if (error.status === 404 && item.places[file.name]) delete item.places[file.name];
        else if (!passes(error) || Date.now() > end) throw error;
        say(item, "waiting", "The connection was cut; trying again.");
        await pause(wait);
        wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
      }
    }
  }

  // How much of the file the server has; the upload is begun if there is none.
  async function offsetOf(item, file, uploads) {
    const place = item.places[file.name];
    if (place) {
      const answer = await good("HEAD", `${uploads}/${place}`, { headers: TUS });
      return Number(answer.getResponseHeader("Upload-Offset"));
    }
    const headers = {
      ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(storedName(item, file))}`,
    };
    const answer = await good("POST", uploads, { headers }, [201]);
    item.places[file.name] = answer.getResponseHeader("Location").split("/").pop();
    remember(item);
    return 0;
  }

  async function submit(item) {
    const ticket = `/api/tickets/${item.ticket}`;
    const told = (text) => say(item, "waiting", text);
    if (!hasWorkspace(item)) {
      const body = new URLSearchParams({ title: item.files[0].name });
      await patiently(() => good("POST", `${ticket}/workspace`, { body }), told);
    }
    await patiently(async () => {
      try {
        await good("POST", `${ticket}/status`, { body: new URLSearchParams({ status: "ready" }) });
      } catch (error) { // the answer to an earlier try was lost, or another tab has submitted the same files
        if (!(error instanceof Refused && SUBMITTED.includes(await statusOf(item)))) throw error;
      }
    }, told);
  }

  // ---- the table
  function add(files, service) {
    const item = { files, service, ticket: 0, places: {}, sent: new Map(), state: "waiting", row: null };
    item.row = rows.insertRow();
    for (const label of ["Files", "Service", "Sent", "State"]) item.row.insertCell().dataset.label = label;
    const [name, about, sent] = item.row.cells;
    const workspace = files.find(isWorkspace);
    name.textContent = workspace ? `${workspace.name} with ${files.length - 1} files` : files[0].name;
    about.textContent = service;
    item.bar = document.createElement("progress");
    item.bar.max = files.reduce((sum, file) => sum + file.size, 0) || 1;
    item.bar.value = 0;
    item.bar.setAttribute("aria-label", `Sent of ${name.textContent}`);
    sent.append(item.bar);
    cases.push(item);
    say(item, "waiting", "");
  }

  function showSent(item, file, bytes) {
    item.sent.set(file, bytes);
    item.bar.value = [...item.sent.values()].reduce((sum, more) => sum + more, 0);
  }

  const WORDS = { "waiting": "waits", "being read": "is read", "sending": "is sent", "submitted": "submitted", "failed": "not sent" };

  function say(item, now, sentence) {
    item.state = now;
    const cell = item.row.cells[3];
    const badge = document.createElement("span");
    badge.className = `badge ${now === "failed" ? "failed" : now === "submitted" ? "success" : ""}`;
    badge.textContent = WORDS[now];
    const parts = [badge, ` ${sentence}`];
    if (now === "submitted") {
      const link = document.createElement("a");
      link.href = `${prefix}/tickets/${item.ticket}`;
      link.textContent = `Ticket ${item.ticket}`;
      parts.push(link);
    }
    cell.replaceChildren(...parts);
    sum();
  }

  const mayRetry = (item) => item.state === "failed" && !item.isHopeless;

  function sum() {
    const count = (name) => cases.filter((item) => item.state === name).length;
    const [done, failed] = [count("submitted"), count("failed")];
    const text = `${done} of ${cases.length} submitted${failed ? `, ${failed} not sent` : ""}.`;
    if (state.textContent !== text) state.textContent = text;
    retry.hidden = !cases.some(mayRetry);
  }

  async function work() {
    while (running < AT_ONCE) {
      const busy = cases.filter((each) => each.busy).map(keyOf); // the same files again: one after the other
      const item = cases.find((each) => each.state === "waiting" && !each.busy && !busy.includes(keyOf(each)));
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

  function take(files) {
    const services = [...form.querySelectorAll("[name=service]:checked")].map((box) => box.value);
    if (!files.length || !services.length) {
      state.textContent = files.length ? "Choose a service." : "Choose a file.";
      document.getElementById("batch").hidden = false;
      return;
    }
    const workspaces = files.filter(isWorkspace);
    const groups = workspaces.length === 1 ? [files] : files.map((file) => [file]);
    document.getElementById("batch").hidden = false;
    for (const group of groups) for (const service of services) add(group, service);
    if (workspaces.length > 1) {
      for (const item of cases.slice(-groups.length * services.length)) {
        item.isHopeless = true;
        say(item, "failed", "Send one workspace at a time, with its files.");
      }
    }
    work();
  }

  // ---- the form
  chooser.multiple = true;
  document.getElementById("drop-hint").hidden = false;
  for (const button of form.querySelectorAll("[name=service]")) button.type = "checkbox";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take([...chooser.files]);
    form.reset();
  });
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  retry.querySelector("button").addEventListener("click", () => {
    for (const item of cases.filter(mayRetry)) say(item, "waiting", "");
    work();
  });
  window.addEventListener("beforeunload", (event) => {
    if (running > 0) event.preventDefault();
  });
})();
