// What the pages do beside following the run: they read out charts, and say when the dashboard does not answer.
// Without this file, and without scripts at all, the pages show the same.
"use strict";

(() => {
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.hidden = true;
  const cross = document.createElement("div");
  cross.className = "cross";

  // Show what the column under the pointer says. Its text is the title of the bars, as it is.
  function read(event) {
    const plot = event.target instanceof Element ? event.target.closest(".plot") : null;
    const svg = plot && plot.querySelector("svg");
    if (!svg) { hide(); return; }
    const box = svg.getBoundingClientRect();
    const columns = svg.viewBox.baseVal.width;
    const place = Math.floor((event.clientX - box.left) / box.width * columns);
    const group = [...svg.querySelectorAll("g")].find(
      (one) => Math.floor(Number(one.querySelector("rect").getAttribute("x"))) === place);
    if (!group) { hide(); return; }
    if (!readout.isConnected) document.body.append(readout);
    if (cross.parentNode !== plot) plot.append(cross);
    cross.style.left = `${(place + 0.5) / columns * box.width}px`;
    readout.textContent = group.querySelector("title").textContent;
    readout.hidden = false;
    const width = readout.offsetWidth;
    readout.style.left = `${Math.min(event.clientX + 12, window.innerWidth - width - 8)}px`;
    readout.style.top = `${Math.max(box.top - 8, 4)}px`;
  }

  function hide() {
    readout.hidden = true;
    cross.remove();
  }

  document.addEventListener("pointermove", read, {passive: true});
  document.addEventListener("scroll", hide, {passive: true, capture: true});

  // Streams end after 5 seconds and begin anew. A stream that cannot begin is another matter. The notice is made here:
  // in the page, a browser without styles and scripts would show it.
  const notice = document.createElement("p");
  notice.id = "offline";
  notice.className = "notice warn";
  notice.setAttribute("role", "alert");
  notice.textContent = "The dashboard does not answer. This page shows how things were.";
  const say = (isOffline) => {
    if (!isOffline) notice.remove();
    else if (!notice.isConnected) document.getElementById("content").prepend(notice);
  };
  document.addEventListener("htmx:sse:error", () => say(true));
  document.addEventListener("htmx:sse:after:connection", () => say(false));
})();
