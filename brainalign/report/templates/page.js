/* The contents fold on a phone, and mark the section in sight. */
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
  const mark = (section) => {
    links.forEach((link, id) => id === section ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
    const link = links.get(section);
    if (!narrow.matches) nav.scrollTop = Math.max(0, link.offsetTop - nav.clientHeight / 2);
  };
  // In sight is what crosses a line a quarter down the window.
  const watch = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) =>
    mark(entry.target.id)), {root: document, rootMargin: "-25% 0px -75% 0px"});
  addEventListener("DOMContentLoaded", () => links.forEach((_, id) => watch.observe(document.getElementById(id))));
})();
