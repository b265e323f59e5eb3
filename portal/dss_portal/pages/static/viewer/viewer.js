// The viewer of a ticket: reads its image and segmentation (volumes.js) and lets NiiVue draw them.
import { GAP_PX, drawPreview, patientAxes } from "./preview.js";
import { Unreadable, apartMm, readVolume, toIndex, toMm } from "./volumes.js";

const PRESETS_HU = [["Lung", -600, 1500], ["Soft tissue", 40, 400], ["Bone", 400, 1800], ["Brain", 40, 80]];
const MOST_VOXELS = 1 << 30; // in a browser's memory
const SLOW_MS = 150; // a picture that takes longer follows a slider only when that is let go
const HIDDEN_MS = 250;
const DATATYPES = new Map([[Uint8Array, 2], [Int16Array, 4], [Float32Array, 16], [Uint16Array, 512]]);
const BACKGROUND = 0, RENDERED = 4;
const LETTERS = [1, 0.9, 0.4, 1], FIELD = [0, 0, 0, 0.75];
const ACROSS = { 0: 2, 1: 1, 2: 0 }; // by the view of one plane, the patient's axis that leads through its slices
const PLANES = ["Sagittal", "Coronal", "Axial"]; // by that axis

const element = (id) => document.getElementById(id);
const viewer = element("viewer"), controls = element("controls"), canvas = element("canvas");
let NVImage, view, image, segmentation, drawingMs = 0;
let labels = new Map(); // by value: {row, colour, at: index of a voxel}

function say(id, sentence) {
  element(id).textContent = sentence;
  element(id).hidden = !sentence;
}

// ---- files
async function fetched(address, name) {
  const answer = await fetch(address, { headers: { Accept: "*/*" } });
  if (!answer.ok) throw new Unreadable(answer.status === 401 ? "is shown after you sign in again" : "is not there any more");
  return readVolume(watched(answer, name));
}

// Tells how much of the file has come.
function watched(answer, name) {
  const whole = Number(answer.headers.get("Content-Length"));
  let came = 0;
  return answer.body.pipeThrough(new TransformStream({
    transform(piece, next) {
      came += piece.length;
      if (whole) say("viewer-progress", `Loading ${name}: ${Math.floor((100 * came) / whole)} %`);
      next.enqueue(piece);
    },
  }));
}

// A volume as NiiVue has it; `data` instead of what the file has.
function drawable(volume, data, colormap) {
  const { dims, affine } = volume;
  const spacing = [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis])));
  const rows = [...affine.flat(), 0, 0, 0, 1];
  const made = new NVImage();
  made.hdr = NVImage.createNiftiHeader(dims, spacing, rows, DATATYPES.get(data.constructor));
  made.hdr.scl_slope = volume.slope;
  made.hdr.scl_inter = volume.intercept;
  const buffer = data.byteLength === data.buffer.byteLength ? data.buffer : data.slice().buffer;
  const rest = [null, NaN, NaN, true, 0.02, false, false, "", 0, 1, NaN, NaN, false, null, 0, buffer];
  made.init(buffer, colormap, colormap, 1, ...rest);
  return made;
}

function shownNumbers(volume) {
  const count = volume.dims.reduce((a, b) => a * b);
  const first = volume.data.subarray(0, count);
  if (DATATYPES.has(first.constructor)) return first;
  return first instanceof Int8Array ? Int16Array.from(first) : Float32Array.from(first);
}

function requireRoom({ dims }) {
  const most = view.uiData.max3D;
  if (dims.some((size) => size > most)) {
    throw new Unreadable(`has ${dims.join(" x ")} voxels; this browser's graphics can show ${most} along each axis`);
  }
  if (dims.reduce((a, b) => a * b) > MOST_VOXELS) throw new Unreadable(`has ${dims.join(" x ")} voxels, too many for a browser`);
}

// ---- labels: NiiVue gets small numbers without gaps, since its table of colours has a place for each
function numbered(volume) {
  const { data, slope, intercept, dims } = volume;
  const count = dims.reduce((a, b) => a * b), isPlain = slope === 1 && intercept === 0 && !(data instanceof Float32Array);
  const found = new Map([[0, 0]]), values = [0], at = [0];
  const out = new Uint16Array(count);
  let last = 0, number = 0;
  for (let i = 0; i < count; i++) {
    const stored = data[i];
    if (stored !== last) {
      const value = (isPlain ? stored : Math.trunc(stored * slope + intercept)) & 65535;
      number = found.get(value);
      if (number === undefined) {
        number = values.length;
        found.set(value, number);
        values.push(value);
        at.push(i);
      }
      last = stored;
    } else if (i === 0 && intercept) last = NaN;
    out[i] = number;
  }
  return { values, out: values.length < 256 ? Uint8Array.from(out) : out };
}

// The voxel of a label that lies nearest to the middle of them all.
function middleOf(number) {
  const { out, dims: [nx, ny] } = segmentation;
  const place = (i) => [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))];
  const sum = [0, 0, 0];
  let count = 0, best = -1, nearest = Infinity;
  for (let i = out.indexOf(number); i >= 0; i = out.indexOf(number, i + 1)) {
    place(i).forEach((n, axis) => (sum[axis] += n));
    count++;
  }
  const middle = sum.map((n) => n / count);
  for (let i = out.indexOf(number); i >= 0; i = out.indexOf(number, i + 1)) {
    const far = Math.hypot(...place(i).map((n, axis) => n - middle[axis]));
    if (far < nearest) [nearest, best] = [far, i];
  }
  return place(best);
}

// As the programs colour a label for which nobody has chosen a colour.
function defaultColour(value) {
  const hue = (value * 0.618034) % 1, part = (n) => {
    const k = (n + hue * 6) % 6;
    return Math.round(255 * (0.9 - 0.54 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return `#${[5, 3, 1].map((n) => part(n).toString(16).padStart(2, "0")).join("")}`;
}

function rowOf(value) {
  const known = controls.querySelector(`.label[data-value="${value}"]`);
  if (known) return known;
  const row = document.createElement("div"), words = document.createElement("label"), button = document.createElement("button");
  const box = document.createElement("input"), name = document.createElement("span");
  Object.assign(row, { className: "label" });
  Object.assign(row.dataset, { value, colour: defaultColour(value) });
  Object.assign(box, { type: "checkbox", checked: true });
  Object.assign(name, { textContent: `Label ${value}` });
  Object.assign(button, { type: "button", className: "link", textContent: "Go to" });
  button.setAttribute("aria-label", `Go to label ${value}`);
  words.className = "check";
  words.append(box, swatch(row.dataset.colour), name);
  row.append(words, button);
  element("no-label").before(row);
  return row;
}

function swatch(colour) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ class: "swatch", width: 14, height: 14, "aria-hidden": "true" })) svg.setAttribute(name, value);
  for (const [name, value] of Object.entries({ width: 14, height: 14, rx: 3, fill: colour })) rect.setAttribute(name, value);
  svg.append(rect);
  return svg;
}

function listLabels() {
  for (const row of controls.querySelectorAll(".label")) row.hidden = true;
  labels = new Map(segmentation.values.slice(1).map((value, i) => [value, { row: rowOf(value), number: i + 1 }]));
  const rows = [...labels.keys()].sort((a, b) => a - b).map((value) => labels.get(value).row);
  for (const row of rows) row.hidden = false;
  element("no-label").before(...rows);
  element("no-label").hidden = labels.size > 0;
}

function colourLabels() {
  const colours = [[0, 0, 0, 0]];
  for (const { row, number } of labels.values()) {
    const rgb = [1, 3, 5].map((at) => parseInt(row.dataset.colour.slice(at, at + 2), 16));
    colours[number] = [...rgb, row.querySelector("input").checked ? 255 : 0];
  }
  if (colours.length < 2) colours.push([0, 0, 0, 0]); // NiiVue takes no table of one colour
  const [R, G, B, A] = [0, 1, 2, 3].map((part) => colours.map((colour) => colour[part]));
  segmentation.drawn.setColormapLabel({ R, G, B, A, I: colours.map((_, i) => i) });
}

// ---- what is drawn anew
function redraw(layer) {
  const began = performance.now();
  const found = layer === undefined ? view.volumes : [layer];
  for (const one of found) view.refreshLayers(one, view.volumes.indexOf(one));
  view.drawScene();
  view.gl.finish();
  drawingMs = performance.now() - began;
}

let isAsked = false;

// At once or, where drawing is slow, when the slider is let go.
function redrawSoon(event, layer) {
  if (event.type === "input" && (drawingMs > SLOW_MS || isAsked)) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    redraw(layer());
  });
}

function opacities() {
  const isRendered = view.opts.sliceType === RENDERED, hasLabels = labels.size > 0;
  const isShown = element("show-image").checked;
  image.drawn.opacity = isShown ? (isRendered && hasLabels ? 0.15 : 1) : 0;
  if (segmentation) segmentation.drawn.opacity = isRendered ? 1 : Number(element("opacity").value) / 100;
  if (segmentation) element("opacity-said").textContent = `${element("opacity").value} %`;
}

// ---- window
function presets() {
  const { robust_min, robust_max, global_min, global_max } = image.drawn;
  const isHu = global_min <= -500 && global_max > 0;
  return [
    ["Automatic", (robust_min + robust_max) / 2, robust_max - robust_min],
    ["Whole range", (global_min + global_max) / 2, global_max - global_min],
    ...(isHu ? PRESETS_HU : []),
  ];
}

function prepareWindow() {
  const { global_min, global_max } = image.drawn, range = global_max - global_min || 1;
  Object.assign(element("level"), { min: global_min, max: global_max });
  Object.assign(element("width"), { min: range / 1000, max: Math.max(range, 2000 * (presets().length > 2)) });
  element("preset").replaceChildren(...presets().map(([name]) => new Option(name)), new Option("By hand", "", false, false));
  element("preset").lastChild.disabled = true;
  choosePreset(0);
}

function choosePreset(index) {
  const [, level, width] = presets()[index];
  element("preset").selectedIndex = index;
  Object.assign(element("level"), { value: level });
  Object.assign(element("width"), { value: width });
  putWindow(level, width);
}

function putWindow(level, width) {
  const decimals = width >= 20 ? 0 : 3;
  element("level-said").textContent = level.toFixed(decimals);
  element("width-said").textContent = width.toFixed(decimals);
  image.drawn.cal_min = level - width / 2;
  image.drawn.cal_max = level + width / 2;
}

function windowed(event) {
  element("preset").selectedIndex = element("preset").length - 1;
  putWindow(Number(element("level").value), Number(element("width").value));
  redrawSoon(event, () => image.drawn);
}

// ---- the cursor
function cursorIndex() {
  const mm = view.frac2mm(view.scene.crosshairPos, 0, true);
  return toIndex(image.affine, mm).map((n, axis) => Math.min(Math.max(Math.round(n), 0), image.dims[axis] - 1));
}

function goTo(index) {
  view.scene.crosshairPos = view.mm2frac(toMm(image.affine, index), 0, true);
  view.createOnLocationChange();
  view.drawScene();
}

// ---- the slider through the slices: of the plane that is shown alone, else of the axial one
function shownAxis(index) {
  const across = ACROSS[view.opts.sliceType] ?? 2;
  return { plane: PLANES[across], ...patientAxes(image, index)[across] };
}

function tellSlice(index) {
  const { plane, size, at } = shownAxis(index);
  Object.assign(element("slice"), { max: size, value: at + 1, disabled: view.opts.sliceType === RENDERED });
  element("slice-said").textContent = `${plane}, ${at + 1} of ${size}`;
}

function sliced() {
  const index = cursorIndex();
  index[shownAxis(index).axis] = Number(element("slice").value) - 1;
  goTo(index);
}

const SIDES = [["L", "R"], ["P", "A"], ["I", "S"]];

function tellPlace() {
  const index = cursorIndex(), [x, y, z] = index, mm = toMm(image.affine, index);
  const offset = x + image.dims[0] * (y + image.dims[1] * z);
  const value = image.data[offset] * image.slope + image.intercept;
  const where = mm.map((n, axis) => `${Math.abs(n).toFixed(1)} ${SIDES[axis][Number(n > 0)]}`).join(", ");
  const words = [`Voxel ${index.map((n) => n + 1).join(", ")}`, `${where} (mm)`, `value ${Number(value.toPrecision(6))}`];
  if (segmentation) words.push(labelAt(mm));
  element("place").textContent = words.join(" \u00b7 ");
  tellSlice(index);
}

function labelAt(mm) {
  const index = toIndex(segmentation.affine, mm).map(Math.round), { dims } = segmentation;
  if (index.some((n, axis) => n < 0 || n >= dims[axis])) return "outside the segmentation";
  const number = segmentation.out[index[0] + dims[0] * (index[1] + dims[1] * index[2])];
  return number ? labels.get(segmentation.values[number]).row.querySelector("span").textContent : "no label";
}

// ---- keys and controls
function choose(kind) {
  controls.elements.view.value = String(kind);
  view.setInterpolation(kind !== RENDERED);
  view.opts.sliceType = kind;
  tellSlice(cursorIndex());
  opacities();
  redraw();
}

function zoom(factor) {
  const [x, y, z, scale] = view.scene.pan2Dxyzmm;
  view.setPan2Dxyzmm(factor ? [x, y, z, Math.min(Math.max(scale * factor, 0.5), 20)] : [0, 0, 0, 1]);
}

const centre = ({ dims } = image) => dims.map((size) => Math.floor(size / 2));
const MOVES = {
  ArrowLeft: [1, 0, 0], ArrowRight: [-1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1],
};
const KEYS = {
  1: () => choose(3), 2: () => choose(0), 3: () => choose(1), 4: () => choose(2), 5: () => choose(RENDERED),
  s: toggleLabels, w: nextPreset, "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
  Home: () => { zoom(0); goTo(centre()); },
};

function toggleLabels() {
  const boxes = [...labels.values()].map(({ row }) => row.querySelector("input"));
  const isOn = boxes.some((box) => box.checked);
  showLabels(boxes, !isOn);
}

function showLabels(boxes, isOn) {
  for (const box of boxes) box.checked = isOn;
  if (!segmentation) return;
  colourLabels();
  redraw(segmentation.drawn);
}

function nextPreset() {
  choosePreset((element("preset").selectedIndex + 1) % presets().length);
  redraw(image.drawn);
}

function pressed(event) {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key], move = MOVES[event.key];
  event.stopImmediatePropagation(); // NiiVue has keys of its own
  if (event.ctrlKey || event.metaKey || event.altKey || !(act || move)) return;
  event.preventDefault();
  if (move) view.moveCrosshairInVox(...move);
  else act();
}

function listen() {
  canvas.addEventListener("keydown", pressed, { capture: true });
  canvas.addEventListener("keyup", (event) => event.stopImmediatePropagation(), { capture: true });
  controls.addEventListener("submit", (event) => event.preventDefault());
  for (const radio of controls.elements.view) radio.addEventListener("change", () => choose(Number(radio.value)));
  element("preset").addEventListener("change", (event) => {
    choosePreset(element("preset").selectedIndex);
    redrawSoon(event, () => image.drawn);
  });
  element("slice").addEventListener("input", sliced);
  element("show-image").addEventListener("change", () => { opacities(); redraw(); });
  for (const kind of ["input", "change"]) {
    for (const id of ["level", "width"]) element(id).addEventListener(kind, windowed);
    element("opacity")?.addEventListener(kind, (event) => {
      opacities();
      if (segmentation) redrawSoon(event, () => segmentation.drawn);
    });
  }
  element("segmentation").addEventListener("change", () => attempt(showSegmentation));
  const boxes = () => [...labels.values()].map(({ row }) => row.querySelector("input"));
  element("all-labels")?.addEventListener("click", () => showLabels(boxes(), true));
  element("no-labels")?.addEventListener("click", () => showLabels(boxes(), false));
  element("labels")?.addEventListener("change", () => showLabels([], true));
  element("labels")?.addEventListener("click", (event) => {
    const row = event.target.closest("button") && event.target.closest(".label");
    if (row) goToLabel(labels.get(Number(row.dataset.value)).number);
  });
}

function goToLabel(number) {
  const mm = toMm(segmentation.affine, middleOf(number));
  goTo(toIndex(image.affine, mm));
}

// ---- the beginning
async function start() {
  viewer.hidden = false;
  const waiting = firstPicture(); // NiiVue is loaded meanwhile
  waiting.catch(() => {}); // told below
  await prepareNiivue();
  performance.mark("viewer is ready");
  image = await waiting;
  await painted();
  requireRoom(image);
  image.drawn = drawable(image, shownNumbers(image), "gray");
  performance.mark("image is measured");
  prepareWindow();
  view.addVolume(image.drawn);
  opacities();
  goTo(centre());
  listen();
  element("viewer-picture")?.remove();
  view.gl.finish();
  element("preview").remove();
  performance.mark("image is shown");
  if (image.frames > 1) say("viewer-caution", `The image has ${image.frames} time points; the first is shown.`);
  if (element("segmentation").value) await attempt(showSegmentation);
}

async function firstPicture() {
  const { name, image: address } = viewer.dataset;
  const volume = await named(fetched(address, name), name);
  performance.mark("image is read");
  drawPreview(element("preview"), volume, centre(volume));
  say("viewer-progress", "The views are being prepared.");
  performance.mark("first picture");
  return volume;
}

async function prepareNiivue() {
  const script = Object.assign(document.createElement("script"), { src: viewer.dataset.niivue });
  await new Promise((done, failed) => {
    script.onload = done;
    script.onerror = () => failed(new Unreadable("The viewer's program did not come; reload the page to try again."));
    document.head.append(script);
  });
  NVImage = window.niivue.NVImage;
  view = new window.niivue.Niivue({
    logLevel: "error", loadingText: "", dragAndDropEnabled: false, isRadiologicalConvention: true, isNearestInterpolation: true,
    sliceType: 3, multiplanarShowRender: 0, multiplanarPadPixels: GAP_PX, showAllOrientationMarkers: true, fontColor: LETTERS,
    fontMinPx: 15, backColor: [0, 0, 0, 1], crosshairColor: [0.3, 0.8, 1, 0.8], isColorbar: false,
  });
  view.onLocationChange = () => image?.drawn && tellPlace();
  await view.attachToCanvas(canvas, false);
  withoutGradients();
  withFieldsBehindLetters();
}

// A page that is not in view paints nothing, and is not waited for.
const painted = () => Promise.race([
  new Promise((go) => requestAnimationFrame(() => setTimeout(go))),
  new Promise((go) => setTimeout(go, HIDDEN_MS)),
]);

// NiiVue computes gradients of the whole image at each change of the window, for a lighting that is not used here.
// One pixel of each slice is enough to keep its textures complete; all would take seconds on a machine without a GPU.
function withoutGradients() {
  for (const shader of [view.blurShader, view.sobelFirstOrderShader]) {
    const use = shader.use.bind(shader);
    shader.use = (gl) => {
      use(gl);
      gl.viewport(0, 0, 1, 1);
    };
  }
}

// NiiVue writes the letters of the patient's sides in one colour, which is lost in tissue as bright, and on the cursor.
function withFieldsBehindLetters() {
  const draw = view.drawText.bind(view);
  view.drawText = (at, text, scale = 1, colour = null) => {
    const size = view.fontPx * scale;
    view.drawRect([at[0] - 2, at[1] + 0.15 * size, view.textWidth(size, text) + 4, 0.95 * size], FIELD);
    draw(at, text, scale, colour);
  };
}

async function named(waiting, name) {
  try {
    return await waiting;
  } catch (error) {
    if (error instanceof Unreadable) throw new Unreadable(`${name} ${error.message}.`);
    throw new Unreadable(`${name} did not come; reload the page to try again.`);
  }
}

async function showSegmentation() {
  const chosen = element("segmentation"), name = chosen.selectedOptions[0].textContent;
  if (segmentation) view.removeVolume(segmentation.drawn);
  segmentation = undefined;
  labels = new Map();
  const volume = await named(fetched(chosen.value, name), name);
  requireRoom(volume);
  await new Promise((go) => setTimeout(go)); // the image is drawn first
  const { values, out } = numbered(volume);
  segmentation = { dims: volume.dims, affine: volume.affine, values, out };
  segmentation.drawn = drawable({ ...volume, slope: 1, intercept: 0 }, out, "red");
  listLabels();
  colourLabels();
  opacities();
  view.addVolume(segmentation.drawn);
  tellPlace();
  tellOfGrids();
}

function tellOfGrids() {
  const isSame = segmentation.dims.every((size, axis) => size === image.dims[axis]);
  const apart = isSame ? apartMm(segmentation.affine, image.affine, image.dims) : NaN;
  if (!isSame) say("viewer-caution", "The segmentation has another grid than the image; it is shown where its file says.");
  else if (apart > 0.1) say("viewer-caution", `The segmentation lies up to ${apart.toFixed(1)} mm from the image's grid; it is shown where its file says.`);
}

async function attempt(act) {
  try {
    say("viewer-problem", "");
    await act();
  } catch (error) {
    if (!(error instanceof Unreadable)) console.warn(error);
    say("viewer-problem", error instanceof Unreadable ? error.message : "This browser cannot show the image: it lacks WebGL 2, or memory.");
    if (!image?.drawn) viewer.hidden = true;
  }
  say("viewer-progress", "");
  viewer.dataset.state = element("viewer-problem").hidden ? "shown" : "failed";
}

say("viewer-scriptless", "");
attempt(start);
