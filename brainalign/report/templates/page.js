/* The contents fold on a phone, and mark the section in sight; long tables and rows of panels are searched. */
(function () {
  "use strict";
  const nav = document.querySelector("nav");
  const box = nav.querySelector("details");
  const narrow = matchMedia("(max-width: 60rem)");
  const fold = () => { box.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  const links = new Map(Array.from(nav.querySelectorAll("a[href^='#']"), (link) => [link.hash.slice(1), link]));
  nav.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) box.open = false; });
  // What comes last cannot be scrolled up to where the others are marked.
  const ended = () => scrollY > 0 && innerHeight + scrollY > document.documentElement.scrollHeight - 2;
  let seen;
  const mark = (reached) => {
    seen = reached;
    const section = ended() ? Array.from(links.keys()).pop() : seen;
    if (!links.has(section)) return;
    links.forEach((link, id) => id === section ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
    const link = links.get(section);
    if (!narrow.matches) nav.scrollTop = Math.max(0, link.offsetTop - nav.clientHeight / 2);
  };
  addEventListener("scroll", () => mark(seen), {passive: true});
  // In sight is what crosses a line a quarter down the window.
  const watch = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) =>
    mark(entry.target.id)), {root: document, rootMargin: "-25% 0px -75% 0px"});
  const LONG = {rows: 12, panels: 6};
  // A field before what is long keeps the parts that hold all its words: a region, a model, a subject.
  const search = (place, parts, what) => {
    const field = document.createElement("input");
    const told = document.createElement("output");
    field.type = "search";
    field.placeholder = `Only ${what} with …`;
    field.setAttribute("aria-label", `Only ${what} with these words`);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      parts.forEach(([part, text]) => { part.hidden = !words.every((word) => text.includes(word)); });
      told.textContent = words.length ? ` ${parts.filter(([part]) => !part.hidden).length} of ${parts.length}` : "";
    });
    const line = document.createElement("p");
    line.className = "search";
    line.append(field, told);
    place.before(line);
  };
  addEventListener("DOMContentLoaded", () => {
    links.forEach((_, id) => watch.observe(document.getElementById(id)));
    document.querySelectorAll("main .scroll:has(tbody)").forEach((box) => {
      const rows = Array.from(box.querySelectorAll("tbody tr"), (row) => [row, row.textContent.toLowerCase()]);
      if (rows.length > LONG.rows) search(box, rows, "rows");
    });
    document.querySelectorAll(".drawings").forEach((box) => {
      const panels = Array.from(box.querySelectorAll(".drawing:has(> b)"), (panel) => [panel, panel.querySelector("b").textContent.toLowerCase()]);
      if (panels.length > LONG.panels) search(box, panels, "panels");
    });
  });
})();
