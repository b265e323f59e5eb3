// The three planes through a voxel of a volume, drawn at once on a plain canvas: NiiVue needs seconds to take a large
// image in.  Planes lie as NiiVue lays them; the patient's right is on the left, posterior too, and superior or
// anterior is up.

const SAMPLES = 20000, LEFT_OUT = 0.02;
export const GAP_PX = 8; // between two planes

export function drawPreview(canvas, volume, index) {
  const [width, height] = [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.round(n * devicePixelRatio));
  const axes = patientAxes(volume, index), shade = shadeOf(volume), context = canvas.getContext("2d");
  const gap = GAP_PX * devicePixelRatio;
  const { scale, size, gaps, tiles } = layoutOf(axes.map((axis) => axis.size * axis.step), width, height, gap);
  const [left, top] = [(width - size[0] * scale - gaps[0] * gap) / 2, (height - size[1] * scale - gaps[1] * gap) / 2];
  context.imageSmoothingEnabled = false;
  for (const [across, down, x, y, [right, below]] of tiles) {
    const [columns, rows, rest] = [axes[across], axes[down], axes[3 - across - down]];
    const drawn = slice(volume, { columns, rows, rest, isMirrored: across === 0, shade });
    context.drawImage(drawn, left + x * scale + right * gap, top + y * scale + below * gap, columns.size * columns.step * scale, rows.size * rows.step * scale);
  }
}

// Of a column, a row and a grid, the one that shows the planes largest: { scale, size in mm, gaps across and down, tiles }.
// A tile: the patient's axes across and upwards, its left upper corner in mm, and the gaps at its left and above it.
function layoutOf([x, y, z], width, height, gap) {
  const [axial, coronal, sagittal] = [[0, 1], [0, 2], [1, 2]];
  const layouts = [
    { size: [x + y, y + z], gaps: [1, 1], tiles: [[...coronal, 0, 0, [0, 0]], [...sagittal, x, 0, [1, 0]], [...axial, 0, z, [0, 1]]] },
    { size: [2 * x + y, Math.max(y, z)], gaps: [2, 0], tiles: [[...axial, 0, 0, [0, 0]], [...coronal, x, 0, [1, 0]], [...sagittal, 2 * x, 0, [2, 0]]] },
    { size: [Math.max(x, y, z), y + 2 * z], gaps: [0, 2], tiles: [[...axial, 0, 0, [0, 0]], [...coronal, 0, y, [0, 1]], [...sagittal, 0, y + z, [0, 2]]] },
  ];
  for (const layout of layouts) {
    const [across, down] = layout.gaps.map((count) => count * gap);
    layout.scale = Math.min((width - across) / layout.size[0], (height - down) / layout.size[1]);
  }
  return layouts.reduce((one, other) => (other.scale > one.scale ? other : one));
}

// Which axis of the voxels runs right, anterior, superior: { axis, stride, size, step in mm, isReversed, at }.
export function patientAxes({ dims, affine }, index) {
  const steps = [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis])));
  const strides = [1, dims[0], dims[0] * dims[1]];
  const best = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    .map((order) => [order.reduce((sum, axis, row) => sum + Math.abs(affine[row][axis]) / steps[axis], 0), order])
    .reduce((one, other) => (other[0] > one[0] ? other : one))[1];
  return best.map((axis, row) => ({ axis, stride: strides[axis], size: dims[axis], step: steps[axis], isReversed: affine[row][axis] < 0, at: index[axis] }));
}

function slice({ data }, { columns, rows, rest, isMirrored, shade }) {
  const picture = new ImageData(columns.size, rows.size), pixels = new Uint32Array(picture.data.buffer);
  const plane = rest.at * rest.stride;
  for (let v = 0, out = 0; v < rows.size; v++) {
    const row = plane + (rows.isReversed ? v : rows.size - 1 - v) * rows.stride; // the upper end first
    for (let u = 0; u < columns.size; u++, out++) {
      const column = columns.isReversed === isMirrored ? u : columns.size - 1 - u;
      pixels[out] = 0xff000000 | (0x010101 * shade(data[row + column * columns.stride]));
    }
  }
  const made = new OffscreenCanvas(columns.size, rows.size);
  made.getContext("2d").putImageData(picture, 0, 0);
  return made;
}

// From a stored number to a grey, 0..255: all but the darkest and brightest of the middle of the image.
function shadeOf({ data, dims, slope }) {
  const count = dims.reduce((a, b) => a * b), first = Math.floor(count / 4), step = Math.max(1, Math.floor(count / 2 / SAMPLES));
  const sample = [];
  for (let i = first; i < count - first || !sample.length; i += step) if (!Number.isNaN(data[i])) sample.push(data[i]);
  sample.sort((a, b) => a - b);
  const [low, high] = [LEFT_OUT, 1 - LEFT_OUT].map((part) => sample[Math.floor(part * (sample.length - 1))]);
  const [dark, bright] = slope < 0 ? [high, low] : [low, high], range = bright - dark || 1;
  return (stored) => Math.min(255, Math.max(0, (255 * (stored - dark)) / range)) & 255;
}
