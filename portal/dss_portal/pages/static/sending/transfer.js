// Requests to the portal, and uploads that go on after cuts (tus 1.0.0).

const PART_BYTES = 8 * 2 ** 20, LEAST_PART_BYTES = 2 ** 20;
const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 15000, PATIENCE_MS = 300000;
// A line that is lost without a word (another network, a cable that is pulled) would be noticed after many minutes only.
const SILENT_MS = 20000, ANSWER_MS = 60000;
const TUS = { "Tus-Resumable": "1.0.0" };

export class Refused extends Error {
  constructor(status, text) {
    super(text.trim().startsWith("<") || !text.trim() ? `The server answered with status ${status}.` : text.trim());
    this.status = status;
  }
}
export class Cut extends Error {}
export class Changed extends Error {}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
export const passes = (error) => error instanceof Cut || [408, 409, 423, 429, 502, 503, 504].includes(error.status);
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

let prefix = "";
export function usePrefix(text) {
  prefix = text;
}

function ask(method, path, { headers = {}, body = null, moved = null } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, prefix + path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    let silence = 0;
    const expect = (ms) => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), ms);
    };
    expect(method === "POST" ? ANSWER_MS : SILENT_MS);
    request.upload.onprogress = (event) => {
      expect(SILENT_MS);
      if (moved) moved(event.loaded);
    };
    request.upload.onload = () => expect(ANSWER_MS);
    request.onloadend = () => clearTimeout(silence);
    request.onload = () => resolve(request);
    request.onerror = request.onabort = request.ontimeout = () => reject(new Cut("The connection was cut."));
    request.send(body);
  });
}

export async function good(method, path, options, statuses = [200]) {
  const answer = await ask(method, path, options);
  if (!statuses.includes(answer.status)) throw new Refused(answer.status, answer.responseText);
  return answer;
}

export const post = (path, fields) => good("POST", path, { body: new URLSearchParams(fields) });

// A request that has the effect of one, however often it is sent with the same key.
export const postOnce = (path, fields, key) =>
  good("POST", path, { body: new URLSearchParams(fields), headers: { "Idempotency-Key": `"${key}"` } });

// Not randomUUID, which browsers have only on pages that came by https.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// Repeats what may be done twice until it succeeds or cannot.
export async function patiently(act, told) {
  let wait = FIRST_PAUSE_MS;
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!passes(error) || Date.now() > end) throw error;
    }
    told("The server does not answer; trying again.");
    await pause(wait);
    wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
  }
}

async function bytesOf(blob) {
  try {
    return await blob.arrayBuffer();
  } catch {
    throw new Changed("A file cannot be read: it has changed or gone since it was chosen. Choose the files again.");
  }
}

// Uploads one part.  `places` are the uploads that the server knows, by name; `noted` is called when they change,
// `moved` with the bytes that are there, `told` with a sentence ("" when all is well).  Any byte that the server got, also
// of a part that was cut, is progress: the pauses are short again, and PATIENCE_MS begins anew.
export async function upload(ticket, part, places, { noted, moved, told }) {
  let wait = FIRST_PAUSE_MS, end = Date.now() + PATIENCE_MS, size = PART_BYTES, at = -1, most = -1;
  const uploads = `/api/tickets/${ticket}/uploads`;
  for (;;) {
    try {
      if (at < 0) at = await offsetOf(part, places, uploads, noted);
      if (at > most) [most, wait, end] = [at, FIRST_PAUSE_MS, Date.now() + PATIENCE_MS];
      moved(at);
      if (at === part.blob.size) return;
      told("");
      const body = await bytesOf(part.blob.slice(at, Math.min(at + size, part.blob.size)));
      const headers = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(at) };
      const answer = await good("PATCH", `${uploads}/${places[part.name]}`,
        { headers, body, moved: (bytes) => moved(at + Math.min(bytes, body.byteLength)) }, [204]);
      at = Number(answer.getResponseHeader("Upload-Offset"));
      size = Math.min(2 * size, PART_BYTES);
    } catch (error) {
      at = -1;
      size = Math.max(size / 2, LEAST_PART_BYTES);
      if (error.status === 404 && places[part.name]) delete places[part.name];
      else if (!passes(error) || Date.now() > end) throw error;
      told("The connection was cut; trying again.");
      await pause(wait);
      wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
    }
  }
}

// How much of the part the server has; the upload is begun if there is none.
async function offsetOf(part, places, uploads, noted) {
  const place = places[part.name];
  if (place) {
    const answer = await good("HEAD", `${uploads}/${place}`, { headers: TUS });
    return Number(answer.getResponseHeader("Upload-Offset"));
  }
  const headers = {
    ...TUS, "Upload-Length": String(part.blob.size), "Upload-Metadata": `filename ${base64(part.name)}`,
  };
  const answer = await good("POST", uploads, { headers }, [201]);
  places[part.name] = answer.getResponseHeader("Location").split("/").pop();
  noted();
  return 0;
}
