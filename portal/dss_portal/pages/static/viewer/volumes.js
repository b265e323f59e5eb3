// Reads NIfTI, NRRD and MetaImage files into one kind of volume, as ITK understands them.
//
// A volume: dims [x, y, z]; affine, 3 rows of 4 numbers from voxel index to mm, in RAS; data, the stored numbers;
// value = slope * stored + intercept; frames, the number of time points, of which the first is read.
// What is not certain is refused with a sentence (Unreadable): NiiVue's own readers guess, and a guess may be wrong.

export class Unreadable extends Error {}

const GZIP = [31, 139];
const NIFTI_TYPES = {
  2: Uint8Array, 4: Int16Array, 8: Int32Array, 16: Float32Array, 64: Float64Array,
  256: Int8Array, 512: Uint16Array, 768: Uint32Array,
};
const NRRD_TYPES = [
  [Int8Array, "signed char", "int8", "int8_t"],
  [Uint8Array, "uchar", "unsigned char", "uint8", "uint8_t"],
  [Int16Array, "short", "short int", "signed short", "signed short int", "int16", "int16_t"],
  [Uint16Array, "ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"],
  [Int32Array, "int", "signed int", "int32", "int32_t"],
  [Uint32Array, "uint", "unsigned int", "uint32", "uint32_t"],
  [Float32Array, "float"],
  [Float64Array, "double"],
];
const META_TYPES = {
  MET_CHAR: Int8Array, MET_UCHAR: Uint8Array, MET_SHORT: Int16Array, MET_USHORT: Uint16Array,
  MET_INT: Int32Array, MET_UINT: Uint32Array, MET_FLOAT: Float32Array, MET_DOUBLE: Float64Array,
};
const SPACES = {
  "right-anterior-superior": [1, 1], ras: [1, 1],
  "left-anterior-superior": [-1, 1], las: [-1, 1],
  "left-posterior-superior": [-1, -1], lps: [-1, -1],
};
const MM = [1, 1000, 1, 0.001];
const MOST_BYTES = 2 * 2 ** 30;
const TEXT_BYTES = 65536; // of a header in text

// The volume in a file's content, a stream of bytes.
export async function readVolume(stream) {
  const bytes = await inflatedIfGzip(stream);
  const start = ascii(bytes, 0, 16);
  if (start.startsWith("NRRD000")) return readNrrd(bytes);
  if (/^(\w+) *=/.test(start)) return readMetaImage(bytes);
  return readNifti(bytes);
}

async function inflatedIfGzip(stream) {
  const [peeked, whole] = stream.tee();
  const reader = peeked.getReader();
  const { value } = await reader.read();
  reader.cancel().catch(() => {});
  if (!value) throw new Unreadable("is empty");
  const isGzip = value[0] === GZIP[0] && value[1] === GZIP[1];
  return isGzip ? inflated(whole, "gzip") : gathered(whole);
}

async function inflated(stream, format) {
  try {
    return await gathered(stream.pipeThrough(new DecompressionStream(format)));
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable("is damaged: it cannot be unpacked");
  }
}

// All bytes of a stream; a file that unpacks to more than `most` is given up before it fills the memory.
export async function gathered(stream, most = MOST_BYTES) {
  const pieces = [], reader = stream.getReader();
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > most) {
      reader.cancel().catch(() => {});
      throw new Unreadable(`is larger than ${most / 2 ** 30} GB when it is unpacked; open it in ITK-SNAP`);
    }
    pieces.push(value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function ascii(bytes, from, to) {
  return new TextDecoder("latin1").decode(bytes.subarray(from, to));
}

// ---- NIfTI: nifti1.h, nifti2.h
function readNifti(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizes = bytes.length < 352 ? [] : [view.getInt32(0, true), view.getInt32(0, false)];
  const little = sizes[0] === 348 || sizes[0] === 540;
  const size = little ? sizes[0] : sizes[1];
  if (size !== 348 && size !== 540) throw new Unreadable("is no NIfTI, NRRD or MetaImage");
  const header = size === 348 ? nifti1(view, little) : nifti2(view, little);
  if (!/^n\+[12]/.test(header.magic)) throw new Unreadable("has its voxels in another file");
  const { count, dims, frames } = niftiSize(header.dim);
  const Kind = NIFTI_TYPES[header.datatype];
  if (!Kind) throw new Unreadable(`holds numbers of a kind that cannot be shown (datatype ${header.datatype})`);
  const { slope, intercept } = niftiScale(header);
  const affine = niftiAffine(header);
  if (!Number.isInteger(header.offset) || header.offset < size + 4) throw new Unreadable("does not say where its voxels begin");
  const body = bytes.subarray(header.offset, header.offset + count * frames * Kind.BYTES_PER_ELEMENT);
  return volume({ dims, affine, slope, intercept, frames, data: numbers(body, Kind, little, count) });
}

function nifti1(view, little) {
  const short = (at) => view.getInt16(at, little), float = (at) => view.getFloat32(at, little);
  return {
    dim: many(8, 40, 2, short), datatype: short(70), pixdim: many(8, 76, 4, float), offset: float(108),
    slope: float(112), intercept: float(116), units: view.getUint8(123), qform: short(252), sform: short(254),
    quatern: many(3, 256, 4, float), qoffset: many(3, 268, 4, float), srow: many(12, 280, 4, float),
    magic: String.fromCharCode(...many(3, 344, 1, (at) => view.getUint8(at))),
  };
}

function nifti2(view, little) {
  if (view.byteLength < 544) throw new Unreadable("ends too early");
  const int = (at) => view.getInt32(at, little), float = (at) => view.getFloat64(at, little);
  const long = (at) => Number(view.getBigInt64(at, little));
  return {
    dim: many(8, 16, 8, long), datatype: view.getInt16(12, little), pixdim: many(8, 104, 8, float), offset: long(168),
    slope: float(176), intercept: float(184), units: int(500), qform: int(344), sform: int(348),
    quatern: many(3, 352, 8, float), qoffset: many(3, 376, 8, float), srow: many(12, 400, 8, float),
    magic: String.fromCharCode(...many(3, 4, 1, (at) => view.getUint8(at))),
  };
}

const many = (count, at, step, read) => Array.from({ length: count }, (_, i) => read(at + i * step));

function niftiSize(dim) {
  const used = dim.slice(1, dim[0] + 1);
  const dims = [0, 1, 2].map((axis) => used[axis] ?? 1);
  const frames = used[3] ?? 1;
  if (dim[0] < 1 || dim[0] > 7 || used.some((n) => n < 1)) throw new Unreadable("does not say how large it is");
  if (used.slice(4).some((n) => n > 1)) throw new Unreadable("holds several numbers in each voxel");
  return { dims, frames, count: dims[0] * dims[1] * dims[2] };
}

function niftiScale({ slope, intercept }) {
  if (slope && Number.isFinite(slope)) {
    if (Number.isFinite(intercept)) return { slope, intercept };
    throw new Unreadable("does not say what its numbers mean");
  }
  if (intercept && Number.isFinite(intercept)) throw new Unreadable("does not say what its numbers mean");
  return { slope: 1, intercept: 0 };
}

function niftiAffine(header) {
  const scale = MM[header.units & 7];
  if (!scale) throw new Unreadable("has lengths in an unknown unit");
  const forms = [];
  if (header.sform > 0) forms.push([0, 4, 8].map((row) => header.srow.slice(row, row + 4)));
  if (header.qform > 0) forms.push(qformOf(header));
  if (!forms.length) throw new Unreadable("does not say where it lies in the patient");
  const affines = forms.map((rows) => rows.map((row) => row.map((n) => n * scale)));
  if (affines.length === 2 && !(apartMm(...affines, header.dim.slice(1, 4)) < 0.5)) {
    throw new Unreadable("says of two places that it lies there (qform and sform)");
  }
  const lengths = [1, 2, 3].map((axis) => Math.abs(header.pixdim[axis]) * scale);
  const isOfOneSpacing = header.sform <= 0 || lengths.includes(0) || lengths.every((length, axis) => {
    const step = Math.hypot(...affines[0].map((row) => row[axis]));
    return Math.abs(length - step) <= 1e-3 * step;
  });
  if (!isOfOneSpacing) throw new Unreadable("states two sizes of a voxel (pixdim and sform)");
  return affines[0];
}

function qformOf({ quatern: [b, c, d], pixdim, qoffset }) {
  const square = 1 - b * b - c * c - d * d;
  if (!(square >= -1e-3)) throw new Unreadable("does not say where it lies in the patient");
  const a = Math.sqrt(Math.max(0, square));
  const turn = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
  ];
  const steps = [1, 2, 3].map((axis) => Math.abs(pixdim[axis]));
  if (pixdim[0] < 0) steps[2] = -steps[2];
  return turn.map((row, i) => [...row.map((n, axis) => n * steps[axis]), qoffset[i]]);
}

// ---- NRRD: https://teem.sourceforge.net/nrrd/format.html
async function readNrrd(bytes) {
  const end = /\r?\n\r?\n/.exec(ascii(bytes, 0, TEXT_BYTES));
  if (!end) throw new Unreadable("has a header that never ends");
  const fields = {};
  for (const line of ascii(bytes, 0, end.index).split(/\r?\n/).slice(1)) {
    const found = /^([^#:]+): *(.*)$/.exec(line);
    if (!found || found[2].startsWith("=")) continue; // a comment, or a key of somebody's own
    const name = found[1].trim().toLowerCase(), value = found[2].trim();
    if ((fields[name] ?? value) !== value) throw new Unreadable(`states '${name}' twice`);
    fields[name] = value;
  }
  for (const name of ["data file", "datafile", "byte skip", "byteskip", "line skip", "lineskip"]) {
    if (fields[name]) throw new Unreadable("has its voxels elsewhere than behind its header");
  }
  if (Number(fields.dimension) !== 3) throw new Unreadable(`has ${fields.dimension} dimensions, not 3`);
  const Kind = NRRD_TYPES.find((names) => names.includes(fields.type))?.[0];
  if (!Kind) throw new Unreadable(`holds numbers of a kind that cannot be shown (${fields.type})`);
  const dims = listed(fields.sizes);
  const data = bytes.subarray(end.index + end[0].length);
  const body = await unpackedNrrd(data, fields.encoding);
  const order = fields.endian?.toLowerCase();
  if (Kind.BYTES_PER_ELEMENT > 1 && order !== "little" && order !== "big") throw new Unreadable("does not say the order of its bytes");
  const little = order !== "big";
  const count = dims.reduce((a, b) => a * b, 1);
  return volume({ dims, affine: nrrdAffine(fields), data: numbers(body, Kind, little, count) });
}

function unpackedNrrd(data, encoding) {
  if (encoding === "raw") return data;
  if (encoding === "gzip" || encoding === "gz") return inflated(new Blob([data]).stream(), "gzip");
  throw new Unreadable(`is packed in a way that cannot be read here (${encoding})`);
}

function nrrdAffine(fields) {
  const sides = SPACES[fields.space?.toLowerCase()];
  const steps = [...(fields["space directions"] ?? "").matchAll(/\(([^)]*)\)/g)].map((found) => listed(found[1]));
  const origin = listed(fields["space origin"]?.replace(/[()]/g, ""));
  const units = fields["space units"] ?? "";
  if (!sides || steps.length !== 3 || origin.length !== 3) throw new Unreadable("does not say where it lies in the patient");
  if (!units.split(/["\s]+/).filter(Boolean).every((unit) => unit === "mm")) throw new Unreadable("has lengths in another unit than mm");
  return affineOf(steps, origin, sides);
}

// ---- MetaImage: the steps of the axes are the rows of TransformMatrix, in LPS
async function readMetaImage(bytes) {
  const text = ascii(bytes, 0, TEXT_BYTES);
  const end = /^ElementDataFile *= *(.*?)\r?\n/m.exec(text);
  if (!end || end[1] !== "LOCAL") throw new Unreadable("has its voxels in another file");
  const fields = {};
  for (const [, key, value] of text.slice(0, end.index).matchAll(/^(\w+) *= *(.*?)[ \t\r]*$/gm)) {
    if ((fields[key] ?? value) !== value) throw new Unreadable(`states '${key}' twice`);
    fields[key] = value;
  }
  const count = Number(fields.NDims);
  if (count !== 3) throw new Unreadable(`has ${fields.NDims} dimensions, not 3`);
  const Kind = META_TYPES[fields.ElementType];
  if (!Kind || (fields.ElementNumberOfChannels ?? "1") !== "1" || !isTrue(fields.BinaryData ?? "True")) {
    throw new Unreadable("holds numbers of a kind that cannot be shown");
  }
  if (!META_DEFAULTS.every(([key, usual]) => Number(fields[key] ?? usual) === usual)) {
    throw new Unreadable("is stored in a way that cannot be read here");
  }
  const dims = listed(fields.DimSize);
  const data = bytes.subarray(end.index + end[0].length);
  const body = isTrue(fields.CompressedData) ? await inflated(new Blob([data]).stream(), "deflate") : data;
  const big = isTrue(agreed(fields, ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"]));
  const voxels = dims.reduce((a, b) => a * b, 1);
  return volume({ dims, affine: metaAffine(fields), data: numbers(body, Kind, !big, voxels) });
}

const META_DEFAULTS = [["HeaderSize", 0], ["ElementToIntensityFunctionSlope", 1], ["ElementToIntensityFunctionOffset", 0]];

const isTrue = (text) => /^[Tt1]/.test(text ?? "");

// The one value of a field that has several names.
function agreed(fields, names) {
  const values = names.map((name) => fields[name]).filter((value) => value !== undefined);
  if (values.some((value) => value !== values[0])) throw new Unreadable(`states different things as ${names.join(" and ")}`);
  return values[0];
}

function metaAffine(fields) {
  const spacing = listed(fields.ElementSpacing ?? fields.ElementSize);
  const matrix = listed(agreed(fields, ["TransformMatrix", "Rotation", "Orientation"]));
  const origin = listed(agreed(fields, ["Offset", "Position", "Origin"]));
  if (!/^(mm|millimet(er|re)|\?)?$/i.test(fields.DistanceUnits ?? "")) throw new Unreadable("has lengths in another unit than mm");
  if (spacing.length !== 3 || !spacing.every((length) => length > 0)) throw new Unreadable("does not say how large its voxels are");
  if (matrix.length !== 9 || origin.length !== 3) throw new Unreadable("does not say where it lies in the patient");
  const rows = [0, 3, 6].map((at) => Math.hypot(...matrix.slice(at, at + 3)));
  if (!rows.every((length) => Math.abs(length - 1) <= 1e-3)) throw new Unreadable("does not say where it lies in the patient");
  const steps = [0, 1, 2].map((axis) => matrix.slice(3 * axis, 3 * axis + 3).map((n) => n * spacing[axis]));
  return affineOf(steps, origin, [-1, -1]);
}

// ---- what all have in common
const listed = (text) => (text ?? "").split(/[\s,]+/).filter(Boolean).map(Number);

function affineOf(steps, origin, sides) {
  return [...sides, 1].map((sign, row) => [...steps.map((step) => sign * step[row]), sign * origin[row]]);
}

// The first `count` numbers of `bytes`.
function numbers(bytes, Kind, little, count) {
  const size = Kind.BYTES_PER_ELEMENT;
  if (bytes.length < count * size) throw new Unreadable("ends too early: voxels are missing");
  if (!little && size > 1) return swapped(bytes, Kind, count);
  const isAligned = bytes.byteOffset % size === 0;
  const from = isAligned ? bytes : bytes.slice(0, count * size);
  return new Kind(from.buffer, from.byteOffset, count);
}

function swapped(bytes, Kind, count) {
  const size = Kind.BYTES_PER_ELEMENT, copy = bytes.slice(0, count * size);
  for (let i = 0; i < copy.length; i += size) copy.subarray(i, i + size).reverse();
  return new Kind(copy.buffer);
}

function volume({ dims, affine, data, slope = 1, intercept = 0, frames = 1 }) {
  const isWhole = dims.length === 3 && dims.every((n) => Number.isInteger(n) && n > 0);
  if (!isWhole || !affine.flat().every(Number.isFinite)) throw new Unreadable("does not say where it lies in the patient");
  if (!(Math.abs(determinant(affine)) > 0)) throw new Unreadable("has axes that lie in one plane");
  return { dims, affine, data, slope, intercept, frames };
}

function determinant([[a, b, c], [d, e, f], [g, h, i]]) {
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

export function toMm(affine, index) {
  return affine.map((row) => row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]);
}

// The index, with fractions, of a place in mm (RAS).
export function toIndex(affine, mm) {
  const whole = determinant(affine), [x, y, z] = affine.map((row, i) => mm[i] - row[3]);
  const columns = [0, 1, 2].map((axis) => affine.map((row) => row[axis]));
  return columns.map((_, axis) => {
    const changed = affine.map((row, i) => columns.map((column, j) => (j === axis ? [x, y, z][i] : column[i])));
    return determinant(changed) / whole;
  });
}

// How far apart the same corner of two grids of one size lies, at most.
export function apartMm(one, other, dims) {
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => dims.map((size, axis) => ((n >> axis) & 1) * (size - 1)));
  return Math.max(...corners.map((at) => Math.hypot(...toMm(one, at).map((n, i) => n - toMm(other, at)[i]))));
}
