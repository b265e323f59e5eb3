// Finds out what files are by their first bytes, groups them into cases, and packs a case of many files into one tar.
//
// A case becomes a ticket: { name, files, parts, asItIs }.  `files` are the user's, `parts` what is uploaded: each
// { name, blob, tag, inside }, where `inside` are the ends of the files in it.  No byte is read before it is sent.

const HEAD_BYTES = 4096, LONGEST_BYTES = 8 * 2 ** 30 - 1, AT_ONCE = 16, MOST_FILES = 200000;
const NOISE = /(^|\/)(\.[^/]*|thumbs\.db|desktop\.ini)$/i;
const KINDS = "NIfTI (.nii, .nii.gz), NRRD, MetaImage, DICOM, or a zip of DICOM files";

export class Wrong extends Error {}

export const pathOf = (file) => file.path || file.webkitRelativePath || file.name;
const folderOf = (file) => pathOf(file).split("/").slice(0, -1).join("/");
const topOf = (file) => (pathOf(file).includes("/") ? pathOf(file).split("/")[0] : "");
const endingOf = (name) => (/\.nii\.gz$/i.test(name) ? ".nii.gz" : (name.match(/\.[A-Za-z0-9]{1,8}$/) || [""])[0].toLowerCase());

async function headOf(file) {
  try {
    return new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  } catch {
    throw new Wrong("This cannot be read: it has changed or gone since it was chosen, or is a folder. Choose its files again.");
  }
}

// The number of voxels that a header states, or 0.
function product(numbers) {
  const voxels = numbers.reduce((all, number) => all * Math.max(number, 1), 1);
  return numbers.length && Number.isSafeInteger(voxels) ? voxels : 0;
}

const listed = (text, pattern) => product(((text.match(pattern) || ["", ""])[1].match(/\d+/g) || []).map(Number));

// NIfTI: dim[0] is the number of axes (nifti1.h at byte 40, nifti2.h at byte 16).
function niftiVoxels(view) {
  if (view.byteLength < 80) return 0;
  const small = [348, 540].includes(view.getInt32(0, true)), isFirst = [view.getInt32(0, true), view.getInt32(0, false)].includes(348);
  const at = (axis) => (isFirst ? view.getInt16(40 + 2 * axis, small) : Number(view.getBigInt64(16 + 8 * axis, small)));
  const axes = at(0);
  return axes > 0 && axes < 8 ? product(Array.from({ length: axes }, (_, axis) => at(axis + 1))) : 0;
}

async function unpacked(head) {
  const reader = new Blob([head]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const { value } = await reader.read();
  reader.cancel().catch(() => {}); // the rest of the file is missing
  return new DataView(value.buffer, value.byteOffset, value.byteLength);
}

// { kind, data, wrong }: `data` names the file with the voxels of an image of two files.
async function lookAt(file) {
  const head = await headOf(file);
  const text = new TextDecoder("latin1").decode(head), ending = endingOf(file.name);
  const number = head.length >= 4 ? new DataView(head.buffer) : null;
  const sizes = number ? [number.getInt32(0, true), number.getInt32(0, false)] : [];
  if (file.size > LONGEST_BYTES) return { wrong: "This is larger than 8 GB; send it with the program dss." };
  if (file.size === 0) return { wrong: "This file is empty." };
  if (ending === ".itksnap") return { kind: "workspace" };
  if (text.slice(128, 132) === "DICM" || /^\x08\0[\x00-\x18]\0/.test(text)) return { kind: "dicom" };
  if (text.startsWith("PK\x03\x04")) return { kind: "zip" };
  if (text.startsWith("NRRD0")) {
    const data = text.match(/^data ?file:\s*(.+?)\s*$/im);
    return { kind: "image", data: data && data[1] };
  }
  if (ending === ".mhd" || ending === ".mha" || /^(ObjectType|NDims)\s*=/m.test(text.slice(0, 400))) {
    const data = text.match(/^ElementDataFile\s*=\s*(.+?)\s*$/m);
    if (!data) return { wrong: "This is not a MetaImage file, whatever its name says." };
    return { kind: "image", data: data[1] === "LOCAL" ? null : data[1] };
  }
  const isNifti = sizes.includes(348) || sizes.includes(540);
  if (isNifti && ending === ".hdr") return { kind: "image", data: file.name.replace(/hdr$/i, (e) => (e === "HDR" ? "IMG" : "img")) };
  if ((isNifti && ending === ".nii") || (ending === ".nii.gz" && head[0] === 0x1f && head[1] === 0x8b)) return { kind: "image" };
  if (/\.nii(\.gz)?$/i.test(file.name)) return { wrong: "This is not a NIfTI file, whatever its name says." };
  return { wrong: `This is no image that can be sent: ${KINDS} is needed.` };
}

// The number of voxels of the largest image among the files; 0 if it is not known.  The voxels of a DICOM series are
// taken to have two bytes each.
export async function largestOf(files) {
  const series = new Map();
  let largest = 0;
  for (const file of files) {
    const head = await headOf(file).catch(() => new Uint8Array());
    const text = new TextDecoder("latin1").decode(head), ending = endingOf(file.name);
    if (text.slice(128, 132) === "DICM") series.set(folderOf(file), (series.get(folderOf(file)) || 0) + file.size / 2);
    else if (text.startsWith("NRRD0")) largest = Math.max(largest, listed(text, /^sizes:\s*(.+?)\s*$/m));
    else if (ending === ".mhd" || ending === ".mha") largest = Math.max(largest, listed(text, /^DimSize\s*=\s*(.+?)\s*$/m));
    else if (/\.(nii(\.gz)?|hdr)$/i.test(file.name) && head.length >= 80) {
      const view = ending === ".nii.gz" ? await unpacked(head).catch(() => null) : new DataView(head.buffer);
      largest = Math.max(largest, view ? niftiVoxels(view) : 0);
    }
  }
  return Math.round(Math.max(largest, ...series.values()));
}

// What a drop holds: files, and those in its folders, each with its `path`.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => (item.webkitGetAsEntry ? item.webkitGetAsEntry() : null));
  if (!entries.some((entry) => entry && entry.isDirectory)) return [...transfer.files];
  const found = [];
  const waiting = entries.filter(Boolean);
  while (waiting.length) {
    const entry = waiting.pop();
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      file.path = entry.fullPath.replace(/^\//, "");
      found.push(file);
    } else {
      const reader = entry.createReader();
      for (;;) { // a reader gives at most 100 entries at a time
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) break;
        waiting.push(...some);
      }
    }
    if (found.length > MOST_FILES) throw new Wrong(`There are more than ${MOST_FILES} files; drop the folder of one study.`);
  }
  return found.sort((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
}

async function lookAtAll(files, told) {
  const found = new Map();
  const waiting = [...files];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (waiting.length) {
      const file = waiting.pop();
      found.set(file, await lookAt(file).catch((error) => ({ wrong: error.message })));
      told(found.size, files.length);
    }
  }));
  return found;
}

// { cases, wrong }: `wrong` are pairs of a file's path and a sentence.
export async function grouped(chosen, told = () => {}) {
  const files = chosen.filter((file) => !(topOf(file) && NOISE.test(pathOf(file))));
  const found = await lookAtAll(files, told);
  const cases = [], wrong = [], taken = new Set();
  const groups = new Map();
  for (const file of files) {
    if (!groups.has(topOf(file))) groups.set(topOf(file), []);
    groups.get(topOf(file)).push(file);
  }
  for (const [top, group] of groups) {
    const workspaces = group.filter((file) => found.get(file).kind === "workspace");
    if (workspaces.length > 1) {
      for (const file of workspaces) wrong.push([pathOf(file), "Send one workspace at a time, with its files."]);
      continue;
    }
    if (workspaces.length === 1) {
      cases.push({ name: `${workspaces[0].name} with ${group.length - 1} files`, files: group, asItIs: true });
      continue;
    }
    const places = new Map(group.map((file) => [`${folderOf(file)}/${file.name}`, file]));
    for (const file of group) {
      const { kind, data } = found.get(file);
      if (kind !== "image" || !data) continue;
      const beside = places.get(`${folderOf(file)}/${data}`);
      if (!beside) wrong.push([pathOf(file), `Its voxels are in the file '${data}', which is needed beside it; choose both.`]);
      else cases.push({ name: file.name, files: [file, beside], asItIs: false });
      for (const used of [file, beside]) taken.add(used);
    }
    const dicom = group.filter((file) => found.get(file).kind === "dicom");
    if (dicom.length) cases.push({ name: top || (dicom.length > 1 ? `${dicom[0].name} and ${dicom.length - 1} more` : dicom[0].name), files: dicom, asItIs: false });
    for (const file of group) {
      const { kind, wrong: sentence } = found.get(file);
      if (taken.has(file) || kind === "dicom") continue;
      if (sentence) wrong.push([pathOf(file), sentence]);
      else cases.push({ name: file.name, files: [file], asItIs: false });
    }
  }
  return { cases, wrong };
}

// ---- what is uploaded
const encoder = new TextEncoder();

function header(name, size, type) {
  const block = new Uint8Array(512);
  const put = (at, text) => block.set(encoder.encode(text), at);
  const octal = (value, digits) => value.toString(8).padStart(digits, "0");
  put(0, name);
  put(100, "0000644\0" + "0000000\0".repeat(2) + octal(size, 11) + "\0" + octal(0, 11) + "\0        " + type);
  put(257, "ustar\x0000");
  put(148, octal(block.reduce((sum, byte) => sum + byte, 0), 6) + "\0 ");
  return block;
}

const padding = (size) => new Uint8Array((512 - (size % 512)) % 512);

// A name of more than 100 bytes, or with other letters than those of ASCII, comes in a header of its own (pax).
function longName(path) {
  const body = encoder.encode(` path=${path}\n`);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  const record = encoder.encode(`${length} path=${path}\n`);
  return [header("pax", record.length, "x"), record, padding(record.length)];
}

function tar(files) {
  const pieces = [], ends = [];
  let size = 0;
  const add = (...more) => { for (const piece of more) { pieces.push(piece); size += piece.size ?? piece.length; } };
  for (const file of files) {
    const path = pathOf(file);
    const isPlain = path.length <= 100 && /^[\x20-\x7e]+$/.test(path);
    if (!isPlain) add(...longName(path));
    add(header(isPlain ? path : "long", file.size, "0"), file, padding(file.size));
    ends.push(size);
  }
  add(new Uint8Array(1024));
  return { blob: new Blob(pieces), ends };
}

// The parts to upload.  Their names are ours: the user's may name a patient.  `tagged` are pairs of a tag and a file.
export function partsOf(item, tagged, key) {
  if (item.asItIs) return item.files.map((file) => ({ name: file.name, blob: file, tag: "", inside: [file.size] }));
  const packed = (files, tag, number) => {
    const name = `${key}-${number}`;
    if (files.length === 1) return { name: name + endingOf(files[0].name), blob: files[0], tag, inside: [files[0].size] };
    const { blob, ends } = tar(files);
    return { name: `${name}.tar`, blob, tag, inside: ends };
  };
  return [packed(item.files, "", 0), ...tagged.map(([tag, file], number) => packed([file], tag, number + 1))];
}
