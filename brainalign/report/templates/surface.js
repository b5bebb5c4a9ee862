/* Viewers of maps on fsaverage5. Mesh and plotly are unpacked once, when the first viewer comes into sight. */
(function () {
  "use strict";
  const N = 10242;
  const shared = JSON.parse(document.getElementById("surface-shared").textContent);
  const sight = 1.55;
  const cameras = {
    "left": [[-1, 0, 0], [0]], "left inside": [[1, 0, 0], [0]],
    "right": [[1, 0, 0], [1]], "right inside": [[-1, 0, 0], [1]],
    "back": [[0, -1, 0.15], [0, 1]], "below": [[0, 0, -1], [0, 1]], "above": [[0, 0, 1], [0, 1]],
  };

  async function unpack(element) {
    const bytes = Uint8Array.from(atob(element.textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  let loading = null;
  function load() {
    loading = loading || (async () => {
      const code = new TextDecoder().decode(await unpack(document.getElementById("surface-bundle")));
      const script = document.createElement("script");
      script.textContent = code;
      document.head.appendChild(script);
      const buffer = await unpack(document.getElementById("surface-mesh"));
      const xyz = new Int16Array(buffer, 0, 6 * N);
      const n_faces = (buffer.byteLength - 12 * N - 2 * N) / 6;
      const faces = new Uint16Array(buffer, 12 * N, 3 * n_faces);
      const sulci = new Uint8Array(buffer, 12 * N + 6 * n_faces, 2 * N);
      const pick = (array, n, from, k) => Array.from({length: n}, (_, i) => array[from + 3 * i + k]);
      const corners = [0, 1, 2].map((k) => pick(faces, n_faces, 0, k));
      const sides = [0, 1].map((side) =>
        [0, 1, 2].map((k) => pick(xyz, N, 3 * N * side, k).map((v) => v * shared.step)));
      return {corners, sides, sulci};
    })();
    return loading;
  }

  function colour(map, code, sulcus) {
    if (code === 0) return sulcus ? shared.hidden : "#e3e3e3";
    return map.kind === "categorical" ? map.colours[code - 1] : shared.scales[map.kind][code - 1];
  }

  const value = (map, code) => map.vmin + (code - 1) / (shared.levels - 1) * (map.vmax - map.vmin);

  // A value nearer to 0 than a share of the largest is not shown.
  const limit = (map, share) => share * Math.max(Math.abs(map.vmin), Math.abs(map.vmax));
  const beyond = (map, code, share) => code === 0 || map.kind === "categorical" || Math.abs(value(map, code)) >= limit(map, share) ? code : 0;

  function words(map, code) {
    if (code === 0) return "not shown";
    return map.kind === "categorical" ? map.categories[code - 1] : value(map, code).toPrecision(3);
  }

  function legend(box, map, n_shown) {
    box.replaceChildren();
    const add = (tag, text, style) => {
      const element = document.createElement(tag);
      element.textContent = text;
      Object.assign(element.style, style || {});
      box.appendChild(element);
      return element;
    };
    add("span", map.unit + ":");
    if (map.kind === "categorical") {
      map.categories.forEach((name, k) => {
        add("i", "", {background: map.colours[k]});
        add("span", name);
      });
    } else {
      const scale = shared.scales[map.kind].filter((_, k) => k % 23 === 0);
      add("span", map.vmin.toPrecision(2));
      add("i", "", {background: "linear-gradient(to right," + scale.join(",") + ")", width: "8rem"});
      add("span", map.vmax.toPrecision(2));
    }
    add("i", "", {background: shared.hidden});
    add("span", "not shown (" + n_shown.toLocaleString("en") + " of " + (2 * N).toLocaleString("en") + " vertices are)");
  }

  async function start(viewer) {
    const stage = viewer.querySelector(".stage");
    const maps = JSON.parse(viewer.querySelector(".maps").textContent);
    const codes = new Uint8Array(await unpack(viewer.querySelector(".codes")));
    const mesh = await load();
    const state = {map: 0, view: "back", share: 0};
    const code = (side, v) => beyond(maps[state.map], codes[(2 * state.map + side) * N + v], state.share);
    const paint = (side) => Array.from({length: N}, (_, v) => colour(maps[state.map], code(side, v), mesh.sulci[side * N + v]));
    const tell = (side) => Array.from({length: N}, (_, v) => words(maps[state.map], code(side, v)) + " (vertex " + v + ")");
    const explain = () => legend(viewer.querySelector(".legend"), maps[state.map],
      [0, 1].reduce((sum, side) => sum + Array.from({length: N}, (_, v) => code(side, v) > 0).filter(Boolean).length, 0));
    const camera = () => {
      const eye = cameras[state.view][0].map((v) => v * sight);
      const up = Math.abs(eye[2]) > 1 ? {x: 0, y: 1, z: 0} : {x: 0, y: 0, z: 1};
      return {eye: {x: eye[0], y: eye[1], z: eye[2]}, up: up, center: {x: 0, y: 0, z: 0}};
    };
    const visible = (side) => cameras[state.view][1].includes(side);
    const traces = [0, 1].map((side) => ({
      type: "mesh3d", x: mesh.sides[side][0], y: mesh.sides[side][1], z: mesh.sides[side][2],
      i: mesh.corners[0], j: mesh.corners[1], k: mesh.corners[2], vertexcolor: paint(side), text: tell(side),
      hoverinfo: "text", visible: visible(side), name: side ? "right" : "left",
      lighting: {ambient: 0.8, diffuse: 0.4, specular: 0.02, fresnel: 0.05, roughness: 0.9},
    }));
    const axis = {visible: false, showspikes: false};
    const layout = {
      margin: {l: 0, r: 0, t: 0, b: 0}, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false, autosize: true,
      scene: {xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data", camera: camera(), bgcolor: "rgba(0,0,0,0)"},
    };
    stage.replaceChildren();
    await Plotly.newPlot(stage, traces, layout, {displayModeBar: false, scrollZoom: false});
    const refresh = (moved) => {
      viewer.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(
        button.dataset.map === String(state.map) || button.dataset.view === state.view)));
      explain();
      threshold.hidden = maps[state.map].kind === "categorical";
      threshold.querySelector("output").textContent = limit(maps[state.map], state.share).toPrecision(2);
      if (moved) {
        Plotly.restyle(stage, {visible: [visible(0), visible(1)]});
        Plotly.relayout(stage, {"scene.camera": camera()});
      } else {
        Plotly.restyle(stage, {vertexcolor: [paint(0), paint(1)], text: [tell(0), tell(1)]});
      }
    };
    viewer.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.map !== undefined) { state.map = Number(button.dataset.map); refresh(false); }
      else { state.view = button.dataset.view; refresh(true); }
    });
    const threshold = viewer.querySelector(".threshold");
    threshold.addEventListener("input", (event) => { state.share = event.target.value / 100; refresh(false); });
    threshold.hidden = maps[0].kind === "categorical";
    explain();
    new ResizeObserver(() => Plotly.Plots.resize(stage)).observe(stage);
    viewer.dataset.ready = "true";
  }

  function attempt(viewer) {
    start(viewer).catch((error) => {
      const note = document.createElement("p");
      note.className = "soft";
      note.textContent = "This browser could not draw the surface (" + error.message + "); see the flat maps.";
      viewer.querySelector(".stage").replaceChildren(note);
      viewer.dataset.ready = "failed";
    });
  }

  const watch = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    watch.unobserve(entry.target);
    attempt(entry.target);
  }), {rootMargin: "400px"});
  document.querySelectorAll(".surface-viewer").forEach((viewer) => watch.observe(viewer));
})();
