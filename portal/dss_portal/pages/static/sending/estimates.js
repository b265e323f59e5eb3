// How long a ticket would take, beside each service: the page's own sentences, for the images that are chosen.
import { largestOf } from "./files.js";

const EVERY_MS = 15000, MOST_FILES = 2000;
const ofSize = document.getElementById("estimate-size");
let voxels = 0, asked = 0;

// Tells the times for these files; several images are sent one after the other, so the largest is told.
export async function estimateFor(files) {
  const number = asked += 1;
  const found = files.length && files.length <= MOST_FILES ? await largestOf(files) : 0;
  if (number !== asked) return; // other files were chosen meanwhile
  voxels = found;
  ofSize.textContent = found ? "Times are for the largest image that is chosen." : "Times are for an image of the usual size.";
  await renew();
}

async function renew() {
  const address = new URL(location.href), number = asked;
  if (voxels) address.searchParams.set("voxels", voxels);
  const answer = await fetch(address, { headers: { Accept: "text/html" }, redirect: "manual" }).catch(() => null);
  if (!answer || !answer.ok || number !== asked) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const now of document.querySelectorAll(".estimate")) {
    const next = page.getElementById(now.id);
    if (next && !now.isEqualNode(next)) now.replaceWith(document.adoptNode(next));
  }
}

setInterval(() => document.hidden || renew(), EVERY_MS);
