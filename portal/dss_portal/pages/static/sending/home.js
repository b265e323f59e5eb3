// A place to drop files on the first page: the page /send takes its place, with the files that were dropped.
import { Wrong, dropped } from "./files.js";

const zone = document.getElementById("drop-here");

async function openWith(files) {
  const answer = await fetch(zone.dataset.send, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return location.assign(zone.dataset.send);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of [".bars", "main"]) document.querySelector(part).replaceWith(document.adoptNode(page.querySelector(part)));
  history.pushState(null, "", zone.dataset.send);
  addEventListener("popstate", () => location.reload());
  document.title = page.title;
  (await import("./page.js")).begin(files);
}

function say(error) {
  if (!(error instanceof Wrong)) console.debug(error);
  zone.querySelector("[role=status]").textContent = error instanceof Wrong ? error.message : "The files could not be taken; use Send images.";
}

if (zone) {
  for (const element of zone.querySelectorAll(".with-script")) element.hidden = false;
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    dropped(event.dataTransfer).then((files) => (files.length ? openWith(files) : null)).catch(say);
  });
}
