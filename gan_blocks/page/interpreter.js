"use strict";
// Runs a generator on typed arrays. gan_blocks.page.operations writes its
// operations. A value is a Float32Array of (batch, ...shape), channels last.

const CHUNK = 1 << 17; // Numbers in a temporary matrix: they fit in the cache.

// Creates the function that computes each operation.
const OPERATIONS = {
  dense(op, weights) {
    const matrix = createMatrix(weights(op.kernel), op.columns,
      weights(op.bias));
    return ([x]) => {
      const count = x.length / matrix.rows;
      const outputs = new Float32Array(count * matrix.columns);
      multiply(x, count, matrix, outputs);
      return outputs;
    };
  },

  // Copies the patch under each output pixel to one row of a matrix.
  convolution(op, weights) {
    const [height, width, channels] = op.source;
    const [outHeight, outWidth, filters] = op.shape;
    const [kernelHeight, kernelWidth] = op.size;
    const matrix = createMatrix(weights(op.kernel), filters, weights(op.bias));
    const rowSize = outWidth * matrix.rows;
    const lines = Math.max(1, Math.floor(CHUNK / rowSize));
    return ([x], batch) => {
      const outputs = new Float32Array(batch * sizeOf(op.shape));
      const patches = new Float32Array(lines * rowSize);
      for (let first = 0; first < batch * outHeight; first += lines) {
        const count = Math.min(lines, batch * outHeight - first);
        patches.fill(0);
        for (let line = 0; line < count; line++) {
          const image = Math.floor((first + line) / outHeight);
          const top = (first + line) % outHeight * op.strides[0] - op.padding[0];
          for (let column = 0; column < outWidth; column++) {
            const left = column * op.strides[1] - op.padding[1];
            const start = Math.max(0, -left);
            const end = Math.min(kernelWidth, width - left);
            const to = (line * outWidth + column) * matrix.rows;
            for (let u = 0; u < kernelHeight; u++) {
              const y = top + u;
              if (y < 0 || y >= height) continue;
              copy(x, ((image * height + y) * width + left + start) * channels,
                patches, to + (u * kernelWidth + start) * channels,
                (end - start) * channels);
            }
          }
        }
        multiply(patches, count * outWidth, matrix,
          outputs.subarray(first * outWidth * filters));
      }
      return outputs;
    };
  },

  // Multiplies each input pixel by the whole kernel and adds the result to the
  // output pixels that the kernel covers.
  transposed(op, weights) {
    const [height, width] = op.source;
    const [outHeight, outWidth, filters] = op.shape;
    const [kernelHeight, kernelWidth] = op.size;
    const columns = kernelHeight * kernelWidth * filters;
    const matrix = createMatrix(weights(op.kernel), columns, null);
    const bias = weights(op.bias);
    const lines = Math.max(1, Math.floor(CHUNK / (width * columns)));
    return ([x], batch) => {
      const outputs = new Float32Array(batch * sizeOf(op.shape));
      if (bias) for (let i = 0; i < outputs.length; i += filters)
        outputs.set(bias, i);
      const products = new Float32Array(lines * width * columns);
      for (let first = 0; first < batch * height; first += lines) {
        const count = Math.min(lines, batch * height - first);
        multiply(x.subarray(first * width * matrix.rows), count * width, matrix,
          products);
        for (let line = 0; line < count; line++) {
          const image = Math.floor((first + line) / height);
          const top = (first + line) % height * op.strides[0] - op.padding[0];
          for (let column = 0; column < width; column++) {
            const left = column * op.strides[1] - op.padding[1];
            const start = Math.max(0, -left);
            const end = Math.min(kernelWidth, outWidth - left);
            const from = (line * width + column) * columns;
            for (let u = 0; u < kernelHeight; u++) {
              const y = top + u;
              if (y < 0 || y >= outHeight) continue;
              add(products, from + (u * kernelWidth + start) * filters,
                outputs,
                ((image * outHeight + y) * outWidth + left + start) * filters,
                (end - start) * filters);
            }
          }
        }
      }
      return outputs;
    };
  },

  // The vectors apply to the last axes.
  affine(op, weights) {
    const scale = weights(op.scale);
    const offset = weights(op.offset);
    return ([x]) => {
      const outputs = new Float32Array(x.length);
      for (let i = 0; i < x.length; i += scale.length)
        for (let j = 0; j < scale.length; j++)
          outputs[i + j] = x[i + j] * scale[j] + offset[j];
      return outputs;
    };
  },

  // Batch normalization is "affine". This one uses statistics of its inputs:
  // each group of channels of `positions` neighbors is one set of numbers.
  normalization({ positions, channels, groups, epsilon, centered }) {
    const width = channels / groups;
    return ([x]) => {
      const outputs = new Float32Array(x.length);
      for (let block = 0; block < x.length; block += positions * channels) {
        for (let group = 0; group < groups; group++) {
          const start = block + group * width;
          const end = start + positions * channels;
          let mean = 0;
          let square = 0;
          for (let i = start; centered && i < end; i += channels)
            for (let j = i; j < i + width; j++) mean += x[j];
          mean /= positions * width;
          for (let i = start; i < end; i += channels)
            for (let j = i; j < i + width; j++) square += (x[j] - mean) ** 2;
          const factor = 1 / Math.sqrt(square / (positions * width) + epsilon);
          for (let i = start; i < end; i += channels)
            for (let j = i; j < i + width; j++)
              outputs[j] = (x[j] - mean) * factor;
        }
      }
      return outputs;
    };
  },

  activation({ name, numbers }) {
    const activate = ACTIVATIONS[name];
    const [first, second, third] = numbers;
    return ([x]) => x.map((value) => activate(value, first, second, third));
  },

  prelu(op, weights) {
    const slopes = weights(op.slopes);
    return ([x]) => x.map((value, i) =>
      value < 0 ? value * slopes[i % slopes.length] : value);
  },

  upsampling({ source: [height, width, channels], shape, bilinear }) {
    const rows = sources(height, shape[0], bilinear);
    const columns = sources(width, shape[1], bilinear);
    return ([x], batch) => {
      const outputs = new Float32Array(batch * sizeOf(shape));
      let to = 0;
      for (let image = 0; image < batch; image++)
        for (const [top, bottom, down] of rows)
          for (const [left, right, across] of columns) {
            const upper = (image * height + top) * width;
            const lower = (image * height + bottom) * width;
            for (let c = 0; c < channels; c++) {
              const at = (pixel) => x[pixel * channels + c];
              const mix = (row) =>
                at(row + left) * (1 - across) + at(row + right) * across;
              outputs[to++] = mix(upper) * (1 - down) + mix(lower) * down;
            }
          }
      return outputs;
    };
  },

  // Adds rows and columns of zeros. Negative numbers remove them.
  padding({ source: [height, width, channels], shape, top, left }) {
    return ([x], batch) => {
      const outputs = new Float32Array(batch * sizeOf(shape));
      const start = Math.max(0, -left);
      const end = Math.min(width, shape[1] - left);
      for (let image = 0; image < batch; image++)
        for (let y = Math.max(0, -top); y < Math.min(height, shape[0] - top);
          y++)
          copy(x, ((image * height + y) * width + start) * channels, outputs,
            ((image * shape[0] + y + top) * shape[1] + start + left) * channels,
            (end - start) * channels);
      return outputs;
    };
  },

  // A label is two classes and the weight of the second.
  embedding({ table, width }, weights) {
    const rows = weights(table);
    return ([labels]) => {
      const outputs = new Float32Array(labels.length / 3 * width);
      for (let i = 0, to = 0; i < labels.length; i += 3)
        for (let c = 0; c < width; c++)
          outputs[to++] = rows[labels[i] * width + c] * (1 - labels[i + 2])
            + rows[labels[i + 1] * width + c] * labels[i + 2];
      return outputs;
    };
  },

  // `widths` has the number of neighboring numbers from each input.
  concatenation({ widths, shape }) {
    return (inputs, batch) => {
      const outputs = new Float32Array(batch * sizeOf(shape));
      for (let to = 0, i = 0; to < outputs.length; i++)
        widths.forEach((width, j) => {
          copy(inputs[j], i * width, outputs, to, width);
          to += width;
        });
      return outputs;
    };
  },

  arithmetic({ name }) {
    const combine = ARITHMETIC[name];
    return (inputs) => inputs.reduce(
      (one, other) => one.map((value, i) => combine(value, other[i])));
  },

  attention({ positions, width, depth }) {
    return ([query, key, values], batch) => {
      const outputs = new Float32Array(batch * positions * depth);
      const scores = new Float32Array(positions);
      for (let row = 0; row < batch * positions; row++) {
        const first = row - row % positions; // Of the image.
        for (let j = 0; j < positions; j++) {
          scores[j] = 0;
          for (let c = 0; c < width; c++)
            scores[j] += query[row * width + c] * key[(first + j) * width + c];
        }
        const largest = scores.reduce((a, b) => Math.max(a, b));
        let sum = 0;
        for (let j = 0; j < positions; j++)
          sum += scores[j] = Math.exp(scores[j] - largest);
        for (let j = 0; j < positions; j++)
          for (let c = 0; c < depth; c++)
            outputs[row * depth + c] +=
              scores[j] / sum * values[(first + j) * depth + c];
      }
      return outputs;
    };
  },
};

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const clip = (x, low, high) => Math.min(Math.max(x, low), high);

const ACTIVATIONS = {
  elu: (x, alpha = 1) => x > 0 ? x : alpha * Math.expm1(x),
  exponential: Math.exp,
  gelu: (x) => x * (1 + erf(x * Math.SQRT1_2)) / 2,
  hard_sigmoid: (x) => clip(x / 6 + 0.5, 0, 1),
  hard_tanh: (x) => clip(x, -1, 1),
  leaky_relu: (x, slope = 0.2) => x > 0 ? x : slope * x,
  mish: (x) => x * Math.tanh(softplus(x)),
  relu: (x, slope = 0, largest = Infinity, threshold = 0) =>
    x >= threshold ? Math.min(x, largest ?? Infinity) : slope * (x - threshold),
  relu6: (x) => clip(x, 0, 6),
  selu: (x) => 1.0507009873554805
    * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  tanh: Math.tanh,
};

const ARITHMETIC = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  maximum: Math.max,
  minimum: Math.min,
};

// Abramowitz and Stegun, 1964, formula 7.1.26. The error is below 2e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741
    + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

function copy(from, i, to, j, count) {
  for (const end = i + count; i < end; i++, j++) to[j] = from[i];
}

function add(from, i, to, j, count) {
  for (const end = i + count; i < end; i++, j++) to[j] += from[i];
}

// Returns the two neighbors of each new pixel, and the weight of the second.
function sources(size, newSize, bilinear) {
  return Array.from({ length: newSize }, (_, i) => {
    if (!bilinear) return Array(2).fill(Math.floor(i * size / newSize))
      .concat(0);
    const place = clip((i + 0.5) * size / newSize - 0.5, 0, size - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, size - 1), place - first];
  });
}

// Stores a matrix in panels of four columns, which `multiply` reads in order.
function createMatrix(values, columns, bias) {
  const rows = values.length / columns;
  const panels = new Float32Array(Math.ceil(columns / 4) * rows * 4);
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i++)
      panels[((column >> 2) * rows + row) * 4 + (column & 3)] = values[i];
  const starts = new Float32Array(columns + 3);
  if (bias) starts.set(bias);
  return { rows, columns, panels, starts };
}

// Computes outputs = inputs * matrix + bias, in tiles of 2 x 4 numbers, which
// stay in registers. JavaScript has no faster way to multiply.
function multiply(inputs, count, { rows, columns, panels, starts }, outputs) {
  for (let n = 0; n < columns; n += 4) {
    for (let m = 0; m < count; m += 2) {
      const second = Math.min(m + 1, count - 1);
      const from = m * rows;
      const other = second * rows;
      let a0 = starts[n], a1 = starts[n + 1], a2 = starts[n + 2];
      let a3 = starts[n + 3], b0 = a0, b1 = a1, b2 = a2, b3 = a3;
      for (let k = 0, p = n * rows; k < rows; k++, p += 4) {
        const a = inputs[from + k], b = inputs[other + k];
        const p0 = panels[p], p1 = panels[p + 1];
        const p2 = panels[p + 2], p3 = panels[p + 3];
        a0 += a * p0; a1 += a * p1; a2 += a * p2; a3 += a * p3;
        b0 += b * p0; b1 += b * p1; b2 += b * p2; b3 += b * p3;
      }
      const to = m * columns + n, below = second * columns + n;
      outputs[to] = a0; outputs[below] = b0;
      if (n + 1 < columns) { outputs[to + 1] = a1; outputs[below + 1] = b1; }
      if (n + 2 < columns) { outputs[to + 2] = a2; outputs[below + 2] = b2; }
      if (n + 3 < columns) { outputs[to + 3] = a3; outputs[below + 3] = b3; }
    }
  }
}

// Converts float16 numbers. Each array was divided by its largest number.
function decode(halves, { start, size, largest }) {
  const numbers = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const half = halves[start + i];
    const exponent = half >> 10 & 31;
    const fraction = half & 1023;
    const value = exponent ? (1024 + fraction) * 2 ** (exponent - 25)
      : fraction * 2 ** -24;
    numbers[i] = (half & 0x8000 ? -value : value) * largest;
  }
  return numbers;
}

// Returns a function of latents, labels and the number of images, which returns
// the images as a Float32Array of (number, height, width, channels).
function createGenerator(network, halves) {
  const weights = (place) => place ? decode(halves, place) : null;
  const steps = network.operations.map((op) =>
    ({ inputs: op.inputs, run: OPERATIONS[op.op](op, weights) }));
  return (latents, labels, batch) => {
    const values = [latents, labels];
    for (const { inputs, run } of steps)
      values.push(run(inputs.map((i) => values[i]), batch));
    return values[network.output];
  };
}

// Converts images from [-1, 1] to the colors of a canvas.
function toColors(images, channels) {
  const colors = new Uint8ClampedArray(images.length / channels * 4).fill(255);
  for (let i = 0, j = 0; j < colors.length; i += channels, j += 4)
    for (let c = 0; c < Math.max(channels, 3); c++)
      colors[j + c] = (images[i + Math.min(c, channels - 1)] + 1) * 127.5;
  return colors;
}

// In a worker: the first message has the network, the others have latents.
if (typeof WorkerGlobalScope !== "undefined") {
  let network, generate;
  self.onmessage = ({ data }) => {
    if (data.network) {
      network = data.network;
      generate = createGenerator(network, new Uint16Array(data.weights));
      return;
    }
    const { latents, labels } = data;
    const colors = toColors(generate(latents, labels, labels.length / 3),
      network.image[2]);
    self.postMessage(colors, [colors.buffer]);
  };
}
