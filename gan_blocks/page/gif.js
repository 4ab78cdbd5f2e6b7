"use strict";

// Returns an animated GIF that repeats. Each frame is an RGBA array; each pixel
// becomes `scale` x `scale` pixels; `delay` is in hundredths of a second.
function encodeGif(frames, width, height, scale, delay) {
  const word = (number) => [number & 255, number >> 8];
  const text = (letters) => [...letters].map((letter) => letter.charCodeAt(0));
  const palette = choosePalette(frames);
  const size = [...word(width * scale), ...word(height * scale)];
  const parts = [[...text("GIF89a"), ...size, 0xf7, 0, 0], palette.colors,
    [0x21, 0xff, 11, ...text("NETSCAPE2.0"), 3, 1, 0, 0, 0]];
  for (const frame of frames) {
    const colors = colorsOf(frame);
    const pixels = new Uint8Array(colors.length * scale * scale);
    for (let i = 0, y = 0; y < height * scale; y++)
      for (let x = 0; x < width * scale; x++, i++)
        pixels[i] = palette.index.get(colors[
          Math.floor(y / scale) * width + Math.floor(x / scale)]);
    parts.push([0x21, 0xf9, 4, 4, ...word(delay), 0, 0],
      [0x2c, 0, 0, 0, 0, ...size, 0, 8], compress(pixels));
  }
  parts.push([0x3b]);
  return new Blob(parts.map((part) => new Uint8Array(part)),
    { type: "image/gif" });
}

// Returns the colors as numbers 0xrrggbb, on white where they are transparent.
function colorsOf(frame) {
  return Uint32Array.from({ length: frame.length / 4 }, (_, i) => {
    const on = (c) =>
      Math.round(255 + (frame[4 * i + c] - 255) * frame[4 * i + 3] / 255);
    return on(0) << 16 | on(1) << 8 | on(2);
  });
}

// Chooses 256 colors by median cut: splits the set with the widest range of
// red, green or blue in two halves, again and again.
function choosePalette(frames) {
  const all = new Set();
  for (const frame of frames) for (const color of colorsOf(frame))
    all.add(color);
  const sets = [measure([...all])];
  while (sets.length < 256) {
    const widest = sets.reduce((a, b) => b.range > a.range ? b : a);
    if (!widest.range) break; // Each set has one color.
    const { colors, shift } = widest;
    colors.sort((a, b) => (a >> shift & 255) - (b >> shift & 255));
    const half = colors.length >> 1;
    sets[sets.indexOf(widest)] = measure(colors.slice(0, half));
    sets.push(measure(colors.slice(half)));
  }
  const colors = new Uint8Array(3 * 256);
  const index = new Map();
  sets.forEach((set, i) => {
    for (const color of set.colors) index.set(color, i);
    [16, 8, 0].forEach((shift, c) => {
      const sum = set.colors.reduce((s, color) => s + (color >> shift & 255), 0);
      colors[3 * i + c] = Math.round(sum / set.colors.length);
    });
  });
  return { colors, index };
}

function measure(colors) {
  let best = { colors, range: -1, shift: 0 };
  for (const shift of [16, 8, 0]) {
    let low = 255, high = 0;
    for (const color of colors) {
      low = Math.min(low, color >> shift & 255);
      high = Math.max(high, color >> shift & 255);
    }
    if (high - low > best.range) best = { colors, range: high - low, shift };
  }
  return best;
}

// LZW compression, in blocks of up to 255 bytes.
function compress(pixels) {
  const bytes = [];
  let bits = 0, bitCount = 0, width = 9, table = new Map(), next = 258;
  const write = (code) => {
    bits |= code << bitCount;
    for (bitCount += width; bitCount >= 8; bitCount -= 8, bits >>>= 8)
      bytes.push(bits & 255);
  };
  write(256); // Clears the table.
  let code = pixels[0];
  for (let i = 1; i < pixels.length; i++) {
    const longer = code << 8 | pixels[i];
    if (table.has(longer)) {
      code = table.get(longer);
      continue;
    }
    write(code);
    code = pixels[i];
    if (next === 4096) { // The table is full.
      write(256);
      table = new Map();
      next = 258;
      width = 9;
    } else {
      if (next === 1 << width) width++;
      table.set(longer, next++);
    }
  }
  write(code);
  write(257); // The end.
  if (bitCount) bytes.push(bits & 255);
  const blocks = [];
  for (let i = 0; i < bytes.length; i += 255) {
    const block = bytes.slice(i, i + 255);
    blocks.push(block.length, ...block);
  }
  return [...blocks, 0];
}
