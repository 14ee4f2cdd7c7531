// The drawing of a clip: bars as high as it is loud, in the accent's colour as far as it was heard.

import { $ } from "./dom.js";

const BAR = 3, GAP = 2; // pixels
const canvas = $("wave");
let peaks = [];
let made = 0; // the share of the clip that `peaks` are of
let heard = 0; // the share of what is made that was played
let wanted = false;

function draw() {
  wanted = false;
  const { width, height } = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1;
  if (!width) return;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d"), style = getComputedStyle(canvas);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const n = Math.floor((width + GAP) / (BAR + GAP)), n_made = Math.round(n * made);
  for (let k = 0; k < n; k++) {
    const isMade = k < n_made && peaks.length > 0;
    const span = isMade ? peaks.slice(Math.floor((k * peaks.length) / n_made), Math.max(Math.floor((k * peaks.length) / n_made) + 1, Math.floor(((k + 1) * peaks.length) / n_made))) : [0];
    const high = Math.max(2, Math.min(1, Math.max(...span)) * (height - 4));
    context.fillStyle = style.getPropertyValue(isMade && k < heard * n_made ? "--accent" : isMade ? "--edge" : "--line");
    context.fillRect(k * (BAR + GAP), (height - high) / 2, BAR, high);
  }
}

function soonDraw() {
  if (!wanted) requestAnimationFrame(draw);
  wanted = true;
}

/** Draw these peaks (0 to 1), of this share of the clip. */
export function drawWave(newPeaks, share) {
  [peaks, made] = [newPeaks, share];
  soonDraw();
}

/** Draw how much of what is made was played, from 0 to 1. */
export function drawHeard(share) {
  if (share === heard) return;
  heard = share;
  soonDraw();
}

new ResizeObserver(soonDraw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soonDraw);
