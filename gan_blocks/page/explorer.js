"use strict";

const COUNT = 16; // Pictures in the grid.
const BATCH = 4; // Pictures that a worker draws at a time.
const FRAMES = 24; // Of a walk that is saved, in one direction.
const WALK_SECONDS = 2;
const FILE_WIDTH = 256; // Saved pictures are at least as wide, in pixels.
const LAST = 2 ** 32 - 1; // The largest seed.

const byId = (id) => document.getElementById(id);
const network = JSON.parse(byId("network").textContent);
const [HEIGHT, WIDTH] = network.image;
// Uniform latents are in [-1, 1].
const deviation = network.distribution === "normal" ? 1 : 1 / Math.sqrt(3);

// What the page shows. The address of the page has all that is not usual.
const state = {
  seed: 0, // Of the first picture in the grid. The next one has seed + 1.
  picture: 0, // Seed of the enlarged picture.
  end: 1, // Seed of the picture where the walk ends.
  place: 0, // On the walk, from 0 to 1.
  truncation: 1,
  class: -1, // -1 is all classes in turn.
  moves: network.directions.map(() => 0),
};

// Random numbers.

// Mulberry32 by Tommy Ettinger: numbers in [0, 1).
function createRandom(seed) {
  let a = Math.imul(seed + 1, 0x9e3779b9);
  return () => {
    a = a + 0x6d2b79f5 | 0;
    let t = Math.imul(a ^ a >>> 15, a | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

function latentsOf(seed) {
  const random = createRandom(seed);
  return Float64Array.from({ length: network.latents }, () =>
    network.distribution === "uniform" ? 2 * random() - 1
      : Math.sqrt(-2 * Math.log(1 - random()))
        * Math.cos(2 * Math.PI * random()));
}

const labelOf = (seed) =>
  state.class < 0 ? seed % (network.classes || 1) : state.class;

// The same path as `GAN.interpolate_latents`: a line for uniform latents, and
// an arc with a linear change of length for normal latents.
function pathBetween(start, end, place) {
  const mix = (a, b) => a + (b - a) * place;
  const line = start.map((value, i) => mix(value, end[i]));
  if (network.distribution === "uniform") return line;
  const [a, b] = [Math.hypot(...start), Math.hypot(...end)];
  const cosine = start.reduce((sum, x, i) => sum + x * end[i], 0) / (a * b);
  const angle = Math.acos(Math.min(Math.max(cosine, -1), 1));
  if (angle < 1e-6) return line;
  const first = Math.sin((1 - place) * angle) / Math.sin(angle);
  const second = Math.sin(place * angle) / Math.sin(angle);
  return start.map((x, i) =>
    mix(a, b) * (first * x / a + second * end[i] / b));
}

function gridPicture(seed) {
  const latents = latentsOf(seed).map((x) => x * state.truncation);
  return { latents, label: [labelOf(seed), 0, 0] };
}

// The enlarged picture, or a picture of its walk. The numbers that the generator
// has learned for a class are mixed too.
function walkPicture(place) {
  const path = pathBetween(
    latentsOf(state.picture), latentsOf(state.end), place);
  const latents = path.map((value, i) => state.moves.reduce(
    (sum, move, k) => sum + move * deviation * network.directions[k][i],
    value * state.truncation));
  return { latents,
    label: [labelOf(state.picture), labelOf(state.end), place] };
}

// Workers that draw pictures.

const idle = [];
let queue = [];

function startWorkers() {
  const text = atob(byId("weights").textContent);
  const weights = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const code = new Blob([byId("interpreter").textContent],
    { type: "text/javascript" });
  const url = URL.createObjectURL(code);
  const count = Math.min(navigator.hardwareConcurrency || 2, 4);
  for (let i = 0; i < count; i++) {
    const worker = new Worker(url);
    worker.onerror = (event) => {
      failure ||= "The generator failed: "
        + (event.message || "The browser cannot start it.");
      say(failure);
    };
    worker.postMessage({ network, weights: weights.buffer });
    idle.push(worker);
  }
  byId("weights").remove(); // Frees its memory.
}

// Returns a promise of the colors of some pictures.
function drawPictures(pictures, kind) {
  return new Promise((resolve) => {
    const job = { pictures, kind, resolve };
    if (kind === "large") queue.unshift(job);
    else queue.push(job);
    startJobs();
  });
}

function startJobs() {
  while (idle.length && queue.length) {
    const worker = idle.pop();
    const { pictures, resolve } = queue.shift();
    worker.onmessage = ({ data }) => {
      idle.push(worker);
      const size = data.length / pictures.length;
      resolve(pictures.map((_, i) => data.subarray(i * size, (i + 1) * size)));
      startJobs();
    };
    const latents = new Float32Array(pictures.length * network.latents);
    pictures.forEach((picture, i) =>
      latents.set(picture.latents, i * network.latents));
    worker.postMessage({ latents,
      labels: Float32Array.from(pictures.flatMap((picture) => picture.label)) });
  }
}

// Draws pictures in batches, on all workers. Calls `show(colors, index)`.
async function drawAll(pictures, kind, show) {
  const jobs = [];
  for (let i = 0; i < pictures.length; i += BATCH)
    jobs.push(drawPictures(pictures.slice(i, i + BATCH), kind).then(
      (drawn) => drawn.forEach((colors, j) => show(colors, i + j))));
  await Promise.all(jobs);
}

// The page.

const grid = byId("grid");
let failure = ""; // The first one explains all others, so it stays.
const say = (text) => { byId("status").textContent = failure || text; };

function paint(canvas, colors) {
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  canvas.getContext("2d").putImageData(
    new ImageData(colors, WIDTH, HEIGHT), 0, 0);
}

const nameOf = (seed) => `Picture ${seed}`
  + (network.classes ? `, class ${labelOf(seed)}` : "");

let drawings = 0; // Of the grid. A canvas stores the newest that it shows.

async function drawGrid() {
  const drawing = ++drawings;
  queue = queue.filter((job) => job.kind !== "grid");
  const begin = performance.now();
  const seeds = [...grid.children].map((_, i) => state.seed + i);
  byId("save-grid").disabled = true;
  await drawAll(seeds.map(gridPicture), "grid", (colors, i) => {
    const button = grid.children[i];
    if (button.drawing > drawing) return;
    button.drawing = drawing;
    button.seed = seeds[i];
    paint(button.firstChild, colors);
    button.setAttribute("aria-label", nameOf(seeds[i]));
  });
  if (drawing !== drawings) return;
  byId("save-grid").disabled = false;
  const seconds = (performance.now() - begin) / 1000;
  say(`${COUNT} pictures in ${seconds.toFixed(1)} seconds`);
}

// Returns a function that draws now, or once more after a drawing in progress.
function latest(draw) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    while (again) {
      again = false;
      await draw();
    }
    busy = false;
  };
}

const drawLarge = latest(async () => {
  const picture = state.picture;
  const [colors] = await drawPictures([walkPicture(state.place)], "large");
  paint(byId("large"), colors);
  byId("large").picture = picture;
});

const drawEnds = latest(async () => {
  const [start, end] = await drawPictures(
    [walkPicture(0), walkPicture(1)], "ends");
  paint(byId("start"), start);
  paint(byId("end"), end);
});

function showPlace() {
  const walked = `${Math.round(state.place * 100)}% of the way to picture `
    + state.end;
  byId("place").value = state.place;
  byId("place").setAttribute("aria-valuetext", walked);
  return walked;
}

// Shows the state in all controls and, a moment later, in the address.
function showState() {
  byId("seed").value = state.seed;
  byId("class").value = state.class;
  byId("truncation").value = state.truncation;
  const walked = showPlace();
  const moved = state.moves.some(Boolean);
  byId("name").textContent = nameOf(state.picture);
  byId("large").setAttribute("aria-label", nameOf(state.picture)
    + (state.place ? ", " + walked : "") + (moved ? ", changed" : ""));
  byId("start").setAttribute("aria-label", "Start: picture " + state.picture);
  byId("end").setAttribute("aria-label", "End: picture " + state.end);
  [...byId("moves").children].forEach((field, k) => {
    field.lastChild.value = state.moves[k];
  });
  [...grid.children].forEach((button, i) => {
    button.classList.toggle("start", state.seed + i === state.picture);
    button.classList.toggle("end", state.seed + i === state.end);
    button.setAttribute("aria-current", state.seed + i === state.picture);
  });
  // Browsers limit how often a page may change its address.
  clearTimeout(addressTimer);
  addressTimer = setTimeout(writeAddress, 250);
}

let addressTimer = 0;

function writeAddress() {
  const { moves, ...numbers } = state;
  const usual = { picture: state.seed, end: state.picture + 1, place: 0,
    truncation: 1, class: -1 };
  const words = Object.entries(numbers)
    .filter(([key, value]) => value !== usual[key])
    .map(([key, value]) => key + "=" + value);
  moves.forEach((move, k) => { if (move) words.push(`d${k + 1}=${move}`); });
  history.replaceState(null, "", "#" + words.join("&"));
}

// Changes the state and draws what depends on it.
function change(changes) {
  Object.assign(state, changes);
  showState();
  drawLarge();
  if ("seed" in changes || "class" in changes || "truncation" in changes)
    drawGrid();
  if (Object.keys(changes).some((key) => key !== "place")) drawEnds();
}

// Reads a state such as #seed=7&truncation=0.7&d1=-2 from the address.
function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const number = (key, other, low, high, whole) => {
    const value = words.get(key) ? Number(words.get(key)) : NaN;
    if (!Number.isFinite(value)) return other;
    const inside = Math.min(Math.max(value, low), high);
    return whole ? Math.round(inside) : inside;
  };
  const seed = number("seed", randomSeed(), 0, LAST, true);
  const picture = number("picture", seed, 0, LAST + COUNT - 1, true);
  stop();
  change({
    seed,
    picture,
    end: number("end", picture + 1, 0, LAST + COUNT, true),
    place: number("place", 0, 0, 1),
    truncation: number("truncation", 1, 0, 1),
    class: number("class", -1, -1, (network.classes || 0) - 1, true),
    moves: state.moves.map((_, k) => number(`d${k + 1}`, 0, -4, 4)),
  });
}

const randomSeed = () => Math.floor(Math.random() * 1e6);

function showNew(seed) {
  stop();
  change({ seed, picture: seed, end: seed + 1, place: 0,
    moves: state.moves.map(() => 0) });
}

function choose(seed) {
  stop();
  if (choosing) {
    setChoosing(false);
    change({ end: seed });
    play();
  } else {
    change({ picture: seed, place: 0, moves: state.moves.map(() => 0),
      end: seed === state.end ? state.picture : state.end });
  }
  byId("picture").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

let choosing = false; // True while the user chooses the end of the walk.

function setChoosing(on) {
  if (choosing === on) return;
  choosing = on;
  byId("choose").setAttribute("aria-pressed", on);
  grid.classList.toggle("choosing", on);
  byId("walk").textContent = on ? "Select another picture"
    : "Walk to another picture";
  say(on ? "Select the picture where the walk ends." : "");
  if (on) grid.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

// Walks.

let playing = 0; // A new number for each walk that plays; 0 if none does.
let walks = 0;

function stop() {
  playing = 0;
  byId("play").textContent = "Play";
}

async function play() {
  const walk = playing = ++walks;
  byId("play").textContent = "Pause";
  const begin = performance.now() - state.place * WALK_SECONDS * 1000;
  while (playing === walk) {
    const time = (performance.now() - begin) / 1000 / WALK_SECONDS % 2;
    // There and back again.
    state.place = Math.round(100 * (time < 1 ? time : 2 - time)) / 100;
    showPlace();
    await drawLarge();
    await new Promise(requestAnimationFrame);
  }
  showState();
}

// Files.

const scale = Math.ceil(FILE_WIDTH / WIDTH);

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved ${name}.`);
}

// Saves canvases side by side, enlarged without smoothing.
function savePng(canvases, columns, factor, name) {
  const sheet = document.createElement("canvas");
  const rows = Math.ceil(canvases.length / columns);
  sheet.width = columns * WIDTH * factor;
  sheet.height = rows * HEIGHT * factor;
  const context = sheet.getContext("2d");
  context.imageSmoothingEnabled = false;
  canvases.forEach((canvas, i) => context.drawImage(canvas,
    i % columns * WIDTH * factor, Math.floor(i / columns) * HEIGHT * factor,
    WIDTH * factor, HEIGHT * factor));
  sheet.toBlob((blob) => save(blob, name));
}

let saving = false; // True while an animation is drawn.

async function saveWalk() {
  if (saving) return;
  saving = true;
  stop();
  say("Drawing the animation.");
  const name = `walk_${state.picture}_${state.end}.gif`;
  const places = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
  const frames = [];
  await drawAll(places.map(walkPicture), "walk",
    (colors, i) => { frames[i] = colors; });
  const back = frames.slice(1, -1).reverse();
  save(encodeGif([...frames, ...back], WIDTH, HEIGHT, scale, 6), name);
  saving = false;
}

// Controls.

function createControls() {
  document.body.classList.toggle("coarse", WIDTH < 48);
  document.body.classList.toggle("transparent", network.image[2] === 4);
  for (let i = 0; i < COUNT; i++) {
    const button = document.createElement("button");
    button.type = "button";
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH;
    canvas.height = HEIGHT;
    button.append(canvas);
    button.addEventListener("click",
      () => choose(button.seed ?? state.seed + i));
    grid.append(button);
  }
  if (network.classes) {
    byId("class").append(new Option("all in turn", -1));
    for (let i = 0; i < network.classes; i++)
      byId("class").append(new Option(i, i));
    byId("class-field").hidden = false;
  }
  network.directions.forEach((_, k) => {
    const field = document.createElement("label");
    const name = document.createElement("span");
    name.textContent = k + 1;
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: -4, max: 4, step: 0.1 });
    slider.setAttribute("aria-label", "Direction " + (k + 1));
    slider.addEventListener("input", () =>
      change({ moves: state.moves.with(k, +slider.value) }));
    field.append(name, slider);
    byId("moves").append(field);
  });
}

function listen(id, event, action) {
  byId(id).addEventListener(event, () => action(byId(id).value));
}

createControls();
startWorkers();
readAddress();
addEventListener("hashchange", readAddress);
listen("new", "click", () => showNew(randomSeed()));
listen("seed", "change", (text) =>
  showNew(Math.min(Math.max(Math.round(+text), 0), LAST)));
listen("class", "change", (text) => change({ class: +text }));
listen("truncation", "input", (text) => change({ truncation: +text }));
listen("place", "input", (text) => { stop(); change({ place: +text }); });
listen("reset", "click", () => change({ moves: state.moves.map(() => 0) }));
listen("play", "click", () => playing ? stop() : play());
listen("choose", "click", () => setChoosing(!choosing));
listen("save-walk", "click", saveWalk);
listen("save-picture", "click", () => savePng([byId("large")], 1, scale,
  `picture_${byId("large").picture}.png`));
listen("save-grid", "click", () => savePng(
  [...grid.children].map((button) => button.firstChild), 4,
  Math.ceil(scale / 2), `pictures_${state.seed}.png`));

// Arrow keys move in the grid. N draws new pictures, Escape ends a choice.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const i = [...grid.children].indexOf(document.activeElement);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -4, ArrowDown: 4 };
  if (i >= 0 && event.key in step) {
    grid.children[i + step[event.key]]?.focus();
    event.preventDefault();
  } else if (event.key.toLowerCase() === "n" && !event.repeat
      && event.target.type !== "number") {
    showNew(randomSeed());
  } else if (event.key === "Escape") setChoosing(false);
});
