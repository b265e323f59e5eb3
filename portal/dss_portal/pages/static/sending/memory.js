// What this browser remembers of a case while the page is closed: its ticket, or the key with which a ticket was
// requested; where its uploads go on; and which files belong to its tags.  Only hashes of the files' names, sizes and
// dates are kept: names may name patients.
import { pathOf } from "./files.js";

const storage = (key) => `dss-send-${key}`;

function hash(text) { // FNV-1a, twice
  let [a, b] = [0x811c9dc5, 0x1000193];
  for (const unit of new TextEncoder().encode(text)) {
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x85ebca6b);
  }
  return (a >>> 0).toString(16).padStart(8, "0") + (b >>> 0).toString(16).padStart(8, "0");
}

const aboutFile = (file) => [pathOf(file), file.size, file.lastModified];
const hashOf = (file) => hash(JSON.stringify(aboutFile(file)));

// The key of a case: `ticket` is the one whose files it replaces, or 0; `tagged` are pairs of a tag and a file.
export function keyOf(service, series, ticket, files, tagged) {
  return hash(JSON.stringify([service, series, ticket, [...files, ...tagged.map(([, file]) => file)].map(aboutFile)]));
}

export function remember(item) {
  const tags = item.tagged.map(([tag, file]) => [tag, hashOf(file)]);
  try {
    localStorage.setItem(storage(item.key), JSON.stringify({ ticket: item.ticket, places: item.places, creation: item.creation, tags }));
  } catch { /* it is full, or forbidden: then nothing is resumed after the page was closed */ }
}

function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(storage(key))) || {};
  } catch {
    return {}; // nothing of ours
  }
}

export function recall(item) {
  const { ticket, places, creation } = kept(item.key);
  if (ticket && (!item.ticket || item.ticket === ticket)) Object.assign(item, { ticket, places });
  if (creation && !item.ticket) item.creation = creation;
}

export function forget(key) {
  try {
    localStorage.removeItem(storage(key));
  } catch { /* as above */ }
}

// The tags for which a case has images of its own.
export const tagsOf = (key) => (kept(key).tags || []).map(([tag]) => tag);

// Files of earlier visits that are chosen again, and the rows that they belong to.
export class Again {
  cases = [];
  files = new Map();

  add(cases, files) {
    this.cases.push(...cases);
    for (const file of files) this.files.set(hashOf(file), file);
  }

  // { row, found, series, tagged } for each of `rows` whose files are all here.
  matches(rows) {
    const plain = new Map();
    for (const service of new Set(rows.map((row) => row.service))) {
      for (const series of ["", "each", "ask"]) {
        for (const found of this.cases) plain.set(keyOf(service, series, 0, found.files, []), { found, series, tagged: [] });
      }
    }
    return rows.map((row) => ({ row, ...(plain.get(baseOf(row.key)) || this.#special(row)) })).filter((each) => each.found);
  }

  // The match of a case with tags, or of one that replaces the files of a ticket.
  #special(row) {
    const tagged = (kept(row.key).tags || []).map(([tag, known]) => [tag, this.files.get(known)]);
    if ((!tagged.length && !row.ticket) || tagged.some(([, file]) => !file)) return null;
    for (const found of this.cases) {
      for (const series of ["", "each", "ask"]) {
        for (const ticket of new Set([0, row.ticket])) {
          if (keyOf(row.service, series, ticket, found.files, tagged) === baseOf(row.key)) return { found, series, tagged };
        }
      }
    }
    return null;
  }
}

// Without the number that a case gets if the same files are sent again.
const baseOf = (key) => key.replace(/-\d+$/, "");
