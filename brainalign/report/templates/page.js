/* The contents fold on a phone, and mark the section in sight; sections close to what they found; long tables and rows of
   panels are searched; pictures open large, figures are saved, and matrices are put into another order. */
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
  // A section closes to its title and what it found; a link to what is in it opens it.
  const shut = (section, closed) => {
    section.classList.toggle("closed", closed);
    section.querySelector("h2 button").setAttribute("aria-expanded", String(!closed));
  };
  const closable = () => {
    const sections = Array.from(document.querySelectorAll("main > section:not(.alarm):has(> h2)"));
    sections.forEach((section) => {
      const title = section.querySelector("h2");
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: title.textContent});
      button.addEventListener("click", () => shut(section, !section.classList.contains("closed")));
      title.replaceChildren(button);
      const found = links.get(section.id)?.querySelector("small")?.textContent;
      if (found) title.after(Object.assign(document.createElement("p"), {className: "gist soft", textContent: found}));
    });
    const all = Object.assign(document.createElement("button"), {type: "button", className: "all"});
    const each = (closing) => {
      sections.forEach((section) => shut(section, closing));
      all.textContent = `${closing ? "Open" : "Close"} all sections`;
    };
    all.addEventListener("click", () => each(all.textContent.startsWith("Close")));
    each(false);
    if (sections.length) box.append(all);
    addEventListener("beforeprint", () => sections.forEach((section) => shut(section, false)));
  };
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const section = link && document.getElementById(link.hash.slice(1))?.closest("main > section.closed");
    if (section) shut(section, false);
  }, {capture: true});
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
  // A picture opens twice as large, around what was clicked; Escape, the button and a click beside it close it.
  const enlarge = (image, x, y) => {
    const dialog = document.createElement("dialog");
    const box = document.createElement("div");
    const large = image.cloneNode();
    const close = document.createElement("button");
    dialog.setAttribute("aria-label", image.alt);
    box.className = "scroll";
    box.tabIndex = 0;
    close.textContent = "Close";
    large.removeAttribute("tabindex");
    large.width = Math.max(image.naturalWidth, 2 * image.clientWidth);
    box.append(large);
    dialog.append(close, box);
    document.body.append(dialog);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { dialog.remove(); image.focus(); });
    dialog.showModal();
    box.scrollTo(x * large.clientWidth - box.clientWidth / 2, y * large.clientHeight - box.clientHeight / 2);
  };
  addEventListener("click", (event) => {
    if (event.target.matches("figure img")) enlarge(event.target, event.offsetX / event.target.clientWidth, event.offsetY / event.target.clientHeight);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("figure img")) enlarge(event.target, 0, 0);
  });
  // Figures as files. A drawing alone is black on white, whatever the theme; pictures are saved in their own pixels.
  const give = (name, href) => Object.assign(document.createElement("a"), {download: name, href}).click();
  const alone = (drawing) => {
    const copy = drawing.cloneNode(true);
    copy.setAttribute("style", "color: #000; fill: #000; background: #fff; --page: #fff; --line: #d4d4d4");
    return "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  };
  const pixels = (name, source, width, height) => {
    const canvas = Object.assign(document.createElement("canvas"), {width, height});
    const context = canvas.getContext("2d");
    const image = new Image();
    image.addEventListener("load", () => {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
      context.drawImage(image, 0, 0, width, height);
      give(`${name}.png`, canvas.toDataURL("image/png"));
    });
    image.src = source;
  };
  const DOTS = 300 / 72; // to the point
  const files = (figure) => {
    const stem = location.pathname.split("/").pop().replace(/\.html$/, "");
    const drawn = ".drawing svg:not(.panel)";
    const seen = (all) => Array.from(figure.querySelectorAll(all)).filter((one) => !one.closest("[hidden]"));
    const saved = (save) => seen(`${drawn}, img`).forEach((one, k) => {
      save(one, `${stem}_${figure.id}${k ? `-${k + 1}` : ""}`);
    });
    const kinds = {
      SVG: (one, name) => one.matches("svg") && give(`${name}.svg`, alone(one)),
      PNG: (one, name) => {
        const {width, height} = one.matches("svg") ? one.viewBox.baseVal : {};
        if (width) pixels(name, alone(one), Math.round(DOTS * width), Math.round(DOTS * height));
        else pixels(name, one.src, one.naturalWidth, one.naturalHeight);
      },
    };
    const line = Object.assign(document.createElement("p"), {className: "files"});
    for (const [kind, save] of Object.entries(kinds)) {
      if (!seen(kind === "SVG" ? drawn : `${drawn}, img`).length) continue;
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: `Figure (${kind})`});
      button.addEventListener("click", () => saved(save));
      line.append(button, " ");
    }
    if (line.childNodes.length) figure.querySelector("figcaption").append(line);
  };
  const reorder = (group) => {
    const buttons = Array.from(group.children);
    const orders = group.parentNode.querySelectorAll(".order");
    group.hidden = false;
    buttons.forEach((button, k) => button.addEventListener("click", () => buttons.forEach((other, j) => {
      other.setAttribute("aria-pressed", String(j === k));
      orders[j].hidden = j !== k;
    })));
  };
  // A volume is cut where a slider says: the map in its colours over what lies below it.
  const unpack = (element) => {
    const bytes = Uint8Array.from(atob(element.textContent), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  };
  const cut = async (viewer) => {
    const [about, packed] = viewer.querySelectorAll("script");
    const {shape, mm, origin, colours} = JSON.parse(about.textContent);
    const voxels = new Uint8Array(await unpack(packed));
    const n = shape[0] * shape[1] * shape[2];
    viewer.hidden = false;
    viewer.querySelectorAll(".cuts > div").forEach((box, axis) => {
      const [slider, told, canvas] = ["input", "output", "canvas"].map((tag) => box.querySelector(tag));
      const [across, up] = [0, 1, 2].filter((other) => other !== axis);
      const [width, height] = [canvas.width, canvas.height] = [shape[across], shape[up]];
      canvas.style.aspectRatio = width * mm[across] / (height * mm[up]);
      box.style.flexGrow = width * mm[across];
      const draw = () => {
        const context = canvas.getContext("2d");
        const picture = context.createImageData(width, height);
        const place = [0, 0, 0];
        place[axis] = Number(slider.value);
        for (let pixel = 0; pixel < width * height; pixel += 1) {
          place[across] = pixel % width;
          place[up] = height - 1 - Math.floor(pixel / width);
          const voxel = (place[0] * shape[1] + place[1]) * shape[2] + place[2];
          const [code, grey] = [voxels[voxel], voxels[n + voxel]];
          picture.data.set([...(code ? colours[code - 1] : [grey, grey, grey]), code || grey ? 255 : 0], 4 * pixel);
        }
        context.putImageData(picture, 0, 0);
        told.textContent = `${Math.round(origin[axis] + mm[axis] * slider.value)} mm`;
      };
      slider.addEventListener("input", draw);
      draw();
    });
  };
  addEventListener("DOMContentLoaded", () => {
    closable();
    document.querySelectorAll(".volume").forEach(cut);
    document.querySelectorAll(".orders").forEach(reorder);
    document.querySelectorAll("figure").forEach(files);
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
