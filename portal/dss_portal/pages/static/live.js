// What the pages do beyond HTML: times in the reader's own zone, durations that grow (data-seconds="N" is N seconds when the
// page is written), and parts that follow the state of things.
//
// An element with data-live="topic topic ..." is fetched anew when the portal tells of one of its topics, and, with
// data-live-s="N", when it is N seconds old; data-live="" has no topic.  Tabs share one stream: the one that holds the lock listens and tells the others.
// Where no stream comes through (a proxy that cuts it or holds it back), the page is asked for every POLL_MS instead;
// so, too, over plain http, where browsers have no locks: a stream for each tab would use up their six connections.
"use strict";
(() => {
  const stream = document.currentScript.dataset.stream;
  const POLL_MS = 5000, SILENT_MS = 12000, AGAIN_MS = 30000, LEAST_MS = 700;

  // ---- times
  const day = new Intl.DateTimeFormat("sv-SE", { year: "numeric", month: "2-digit", day: "2-digit" });
  const clock = new Intl.DateTimeFormat("sv-SE", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });

  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      const name = zone.formatToParts(at).find((part) => part.type === "timeZoneName").value;
      const date = document.createElement("span");
      date.className = "day";
      date.textContent = `${day.format(at)} `;
      time.replaceChildren(date, `${clock.format(at)} ${name}`);
    }
  }

  // ---- durations of what goes on, in the words of the portal's own durations
  let writtenMs = performance.now();

  function duration(seconds) {
    const whole = Math.round(seconds);
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    if (whole >= 86400) return `${Math.floor(whole / 86400)} d ${two((whole % 86400) / 3600)} h`;
    if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} min`;
    return whole >= 60 ? `${Math.floor(whole / 60)} min ${two(whole % 60)} s` : `${whole} s`;
  }

  function lengthen() {
    const sinceS = (performance.now() - writtenMs) / 1000;
    for (const part of document.querySelectorAll("[data-seconds]")) {
      part.textContent = duration(Number(part.dataset.seconds) + sinceS);
    }
  }

  // ---- parts that move
  const parts = () => document.querySelectorAll("[data-live]");
  const topics = () => new Set([...parts()].flatMap((part) => part.dataset.live.split(" ")));

  // Makes `now` like `next` and keeps what it can: focus, selection, what was typed, what is folded out.
  function morph(now, next) {
    if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || (now.id || "") !== (next.id || "")) {
      now.replaceWith(next);
      return;
    }
    if (now.nodeType !== Node.ELEMENT_NODE) {
      if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
      return;
    }
    if (now.isEqualNode(next)) return;
    const kept = now.nodeName === "DETAILS" ? ["open"] : now.nodeName === "INPUT" ? ["value", "checked"] : [];
    for (const { name } of [...now.attributes]) {
      if (!next.hasAttribute(name) && !kept.includes(name)) now.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (now.getAttribute(name) !== value && !(kept.includes(name) && now.type !== "hidden")) now.setAttribute(name, value);
    }
    morphChildren(now, next);
  }

  function morphChildren(now, next) {
    const byId = new Map([...now.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = now.firstChild;
    for (const wanted of [...next.childNodes]) {
      const same = wanted.id ? byId.get(wanted.id) : place && !place.id ? place : null;
      if (!same) {
        now.insertBefore(wanted, place);
        continue;
      }
      if (same !== place) now.insertBefore(same, place);
      place = same.nextSibling;
      morph(same, wanted);
    }
    while (place) {
      const rest = place.nextSibling;
      place.remove();
      place = rest;
    }
  }

  let fetching = false, wanted = false, fetchedMs = 0;

  async function refresh() {
    if (!parts().length) return;
    wanted = true;
    if (fetching) return;
    fetching = true;
    while (wanted) {
      await new Promise((go) => setTimeout(go, Math.max(0, fetchedMs + LEAST_MS - performance.now())));
      wanted = false;
      fetchedMs = performance.now();
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
        if (answer.ok) show(await answer.text());
      } catch {
        // the portal is away; the next event or poll asks again
      }
    }
    fetching = false;
  }

  function show(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    localise(page);
    writtenMs = performance.now();
    for (const part of parts()) {
      const next = page.getElementById(part.id);
      if (next) morph(part, document.adoptNode(next));
    }
  }

  function told(changed) {
    const mine = topics();
    const all = changed.includes("everything");
    if (document.hidden) return; // it is fetched when the tab is looked at
    if (all) setTimeout(refresh, Math.random() * 1000);
    else if (changed.some((topic) => mine.has(topic))) refresh();
  }

  // ---- messages of the browser: a ticket that was open when it was last looked at, and is not any more
  const ENDED = { success: "is done", failed: "failed", timeout: "was given up" };
  const list = document.currentScript.dataset.tickets;
  let known = null;

  async function tellEnds() {
    if (!("Notification" in window) || Notification.permission !== "granted" || !list) return;
    const answer = await fetch(list, { headers: { Accept: "text/html" }, redirect: "manual" }).catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = new Map();
    for (const row of page.querySelectorAll("tr[id^=ticket-]")) {
      const state = Object.keys(ENDED).find((word) => row.querySelector(`.badge.${word}`)) || "open";
      found.set(row.id, state);
      if (known && known.get(row.id) === "open" && state !== "open") message(row.id.slice(7), ENDED[state]);
    }
    known = found;
  }

  function message(number, words) {
    const shown = new Notification(`Ticket ${number} ${words}`, { tag: `dss-ticket-${number}` });
    shown.onclick = () => window.open(`${list}/${number}`);
  }

  function offerMessages() {
    const offer = document.getElementById("tell-here");
    if (!offer || !("Notification" in window)) return;
    offer.hidden = false;
    const words = { granted: "This browser shows messages.", denied: "This browser does not allow messages of this site." };
    const say = () => { offer.querySelector("[role=status]").textContent = words[Notification.permission] || ""; };
    offer.querySelector("button").addEventListener("click", () => Notification.requestPermission().then(say).then(tellEnds));
    say();
  }

  // ---- reports are printed though they are folded; not all browsers show them by the style sheet alone
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details.report:not([open])")];
    for (const report of unfolded) report.open = true;
  });
  addEventListener("afterprint", () => {
    for (const report of unfolded) report.open = false;
  });

  // ---- the stream, or else polling
  let heardMs = -Infinity;

  function heard(message) {
    heardMs = performance.now();
    if (message) told(message.split(" "));
  }

  function listen(share) {
    let source;
    const connect = () => {
      if (source) source.close();
      source = new EventSource(stream);
      // With each new connection: what changed while there was none was told to nobody.
      source.addEventListener("beat", (event) => share(event.data === "hello" ? "everything" : ""));
      source.addEventListener("change", (event) => share(event.data));
      // A refusal ends an EventSource for good: we ask again later, and poll meanwhile.
      source.addEventListener("error", () => {
        if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
      });
    };
    connect();
    setInterval(() => {
      if (performance.now() - heardMs > SILENT_MS && source.readyState === EventSource.OPEN) connect();
    }, AGAIN_MS);
  }

  function follow() {
    if ("BroadcastChannel" in window && navigator.locks) {
      const others = new BroadcastChannel(`dss ${stream}`);
      tellEnds();
      const share = (message) => {
        heard(message);
        if (/\b(tickets|everything)\b/.test(message)) tellEnds();
        others.postMessage(message);
      };
      others.onmessage = (event) => heard(event.data);
      navigator.locks.request(`dss ${stream}`, () => new Promise(() => listen(share)));
    }
    setInterval(() => {
      if (performance.now() - heardMs <= SILENT_MS) return;
      tellEnds();
      if (!document.hidden) refresh();
    }, POLL_MS);
    // What changed after the portal had written this page, and before it listened, was told to nobody.
    setTimeout(() => fetchedMs || refresh(), 1000);
    // A tab that was asleep may have missed something.
    document.addEventListener("visibilitychange", () => document.hidden || refresh());
  }

  document.addEventListener("DOMContentLoaded", () => {
    localise(document);
    for (const link of document.querySelectorAll(".bars [aria-current]")) link.scrollIntoView({ inline: "center", block: "nearest" });
    offerMessages();
    const granted = "Notification" in window && Notification.permission === "granted";
    if (stream && (parts().length || granted)) follow();
    setInterval(() => {
      lengthen();
      const everyS = Math.min(...[...parts()].map((part) => Number(part.dataset.liveS) || Infinity));
      if (!document.hidden && performance.now() - fetchedMs >= 1000 * everyS) refresh();
    }, 1000);
  });
})();
