// Draws each run of a report as a bar in the lane of its slot. The runs are in the page, as columns of deflated numbers.
"use strict";
(async () => {
  const canvas = document.querySelector("canvas.runs"), told = document.querySelector(".told"), data = canvas.dataset;
  const packed = Uint8Array.from(atob(data.runs), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = Number(data.count), unit = Number(data.unit), lanes = Number(data.lanes), whole = Number(data.whole);
  const pieces = JSON.parse(data.pieces), names = data.names.split(" ");

  // A column has the lowest bytes of all its numbers first, then the next higher ones.
  let offset = 0;
  const column = (width, isSum) => {
    const found = new Uint32Array(count);
    for (let byte = 0; byte < width; byte++, offset += count)
      for (let run = 0; run < count; run++) found[run] |= bytes[offset + run] << (8 * byte);
    if (isSum) for (let run = 1; run < count; run++) found[run] += found[run - 1];
    return found;
  };
  const begins = column(4, true), lengths = column(4), slots = column(2), kinds = column(1), numbers = column(4, true);

  const GAP = 22, pen = canvas.getContext("2d");
  let left = 0, right = whole, width = 0, height = 0, marked = -1, frame = 0;
  const lane = () => (height - GAP) / lanes;
  const toPixel = (at) => ((at - left) / (right - left)) * width;
  const toTime = (pixel) => left + (pixel / width) * (right - left);

  // The time of the day, to what can be told apart. What was left out is in none of the pieces.
  const clock = (at) => {
    const piece = pieces.findLast((one) => one[0] <= at) || pieces[0];
    const text = new Date(Math.round((piece[1] + (at - piece[0]) * unit) * 1000)).toISOString();
    return text.slice(0, 10) + " " + text.slice(11, (right - left) * unit > 60 ? 19 : 23);
  };
  const span = (seconds) =>
    seconds < 1 ? (seconds * 1000).toPrecision(3) + " ms" : seconds < 120 ? seconds.toPrecision(3) + " s"
      : Math.round(seconds / 60) + " min";

  function draw() {
    frame = 0;
    const style = getComputedStyle(canvas), ratio = devicePixelRatio || 1, colours = names.map((name) =>
      style.getPropertyValue("--" + name) || style.color);
    width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio, canvas.height = height * ratio;
    pen.scale(ratio, ratio);
    const tall = lane(), bar = Math.max(tall - (tall > 4 ? 1 : 0), 0.5), drawn = new Float64Array(lanes).fill(-1);
    for (let run = 0; run < count && begins[run] <= right; run++) {
      if (begins[run] + lengths[run] < left) continue;
      const slot = slots[run], from = toPixel(begins[run]), to = Math.max(toPixel(begins[run] + lengths[run]), from + 1);
      if (to <= drawn[slot] && kinds[run] === 0 && run !== marked) continue; // it would be under other bars
      drawn[slot] = Math.max(drawn[slot], Math.floor(to));
      pen.fillStyle = run === marked ? style.color : colours[kinds[run]];
      pen.fillRect(from, slot * tall, to - from, bar);
    }
    pen.fillStyle = style.getPropertyValue("--soft");
    pen.font = "12px system-ui, sans-serif";
    const ticks = width > 640 ? 4 : 1;
    for (let tick = 0, day = ""; tick <= ticks; tick++) { // a day is named once
      const text = clock(left + ((right - left) * tick) / ticks);
      pen.textAlign = tick === 0 ? "left" : tick === ticks ? "right" : "center";
      pen.fillText(text.startsWith(day || "-") ? text.slice(11) : text, (width * tick) / ticks, height - 4);
      day = text.slice(0, 10);
    }
  }
  const soon = () => (frame ||= requestAnimationFrame(draw));

  function show(from, to) {
    const size = Math.min(Math.max(to - from, whole / 1e7), whole);
    left = Math.min(Math.max(from, 0), whole - size), right = left + size;
    soon();
  }
  const zoom = (factor, at = (left + right) / 2) => show(at - (at - left) * factor, at + (right - at) * factor);
  const move = (part) => show(left + (right - left) * part, right + (right - left) * part);

  function mark(pixel, y) {
    const at = toTime(pixel), near = toTime(pixel + 2) - at, slot = Math.floor(y / lane());
    marked = -1;
    for (let run = 0; run < count && begins[run] <= at + near; run++)
      if (slots[run] === slot && begins[run] + lengths[run] >= at - near) marked = run;
    const number = marked < 0 || !numbers[marked] ? "" : ", event #" + numbers[marked];
    told.textContent = marked < 0 ? told.dataset.hint
      : `${clock(begins[marked])}, ${span(lengths[marked] * unit)}, ${names[kinds[marked]]}${number}`;
    soon();
  }

  let held = null;
  canvas.addEventListener("pointerdown", (event) => { held = event.offsetX, canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (held === null) return mark(event.offsetX, event.offsetY);
    move((held - event.offsetX) / width), held = event.offsetX;
  });
  canvas.addEventListener("wheel", (event) => { // a pinch on a touchpad is a wheel with Ctrl; without, the page scrolls
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault(), zoom(Math.exp(event.deltaY / 200), toTime(event.offsetX));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(0.25, toTime(event.offsetX)));
  const keys = { "+": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, whole), ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };
  canvas.addEventListener("keydown", (event) => { if (keys[event.key]) keys[event.key](), event.preventDefault(); });
  for (const button of document.querySelectorAll("button[data-key]")) button.addEventListener("click", keys[button.dataset.key]);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
  new ResizeObserver(soon).observe(canvas);
  draw();
})();
