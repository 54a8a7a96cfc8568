// What is wider than the page scrolls by itself: it can then be reached with the Tab key, too, and fades out at the side
// where there is more. (A phone shows no scroll bar.)
const WIDE = "pre, .formula, .pst-scrollable-table-container, .drawn";
document.addEventListener("DOMContentLoaded", () => {
  const fade = (part) => {
    const rest = part.scrollWidth - part.clientWidth;
    part.classList.toggle("more-left", rest > 1 && part.scrollLeft > 1);
    part.classList.toggle("more-right", rest - part.scrollLeft > 1);
    return rest > 1;
  };
  const parts = document.querySelectorAll(`article :is(${WIDE})`);
  const mark = () => {
    for (const part of parts) {
      if (fade(part)) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  };
  for (const part of parts) part.addEventListener("scroll", () => fade(part), { passive: true });
  mark();
  window.addEventListener("load", mark); // figures then have their size
  window.addEventListener("resize", mark);
  // On a phone a tap shows a figure whole, and another one as large as before.
  for (const figure of document.querySelectorAll(".drawn")) {
    figure.addEventListener("click", () => {
      figure.classList.toggle("whole");
      mark();
    });
  }
  // On a phone menu and contents lie over the page; who chose a place on it wants to see that place.
  for (const over of document.querySelectorAll("#pst-primary-sidebar-modal, #pst-secondary-sidebar-modal")) {
    over.addEventListener("click", (event) => event.target.closest("a[href]") && over.close());
  }
  // A folded cell has its size only when it is open.
  for (const folded of document.querySelectorAll("article details")) folded.addEventListener("toggle", mark);
});
