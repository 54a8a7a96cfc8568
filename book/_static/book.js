// What is wider than the page scrolls by itself: it can then be reached with the Tab key, too.
const WIDE = "pre, .formula, .pst-scrollable-table-container, .cell_output";
document.addEventListener("DOMContentLoaded", () => {
  const mark = () => {
    for (const part of document.querySelectorAll(`article :is(${WIDE})`)) {
      if (part.scrollWidth > part.clientWidth + 1) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  };
  mark();
  window.addEventListener("resize", mark);
  // A folded cell has its size only when it is open.
  for (const folded of document.querySelectorAll("article details")) folded.addEventListener("toggle", mark);
});
