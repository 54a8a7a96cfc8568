// A word of the glossary, or a paper, shows its entry: on hovering and with the keyboard.
// It stays while the pointer is on it, and Escape closes it (WCAG 1.4.13).
(() => {
  const box = document.createElement("div");
  box.className = "preview";
  box.id = "preview";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  let owner = null;
  let closing = 0;

  const entryOf = (link) => {
    const address = link.getAttribute("href") || "";
    const own = address.replace(/^.*\//, "");
    return PREVIEWS[own] || PREVIEWS[address.toLowerCase().replace(/\/$/, "")];
  };

  const close = () => {
    clearTimeout(closing);
    if (owner) owner.removeAttribute("aria-describedby");
    owner = null;
    box.hidden = true;
  };

  const closeSoon = () => {
    clearTimeout(closing);
    closing = setTimeout(close, 200);
  };

  const place = (link) => {
    const at = link.getClientRects()[0];
    const room = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, room - box.offsetWidth - 8));
    const above = at.top - box.offsetHeight - 6;
    box.style.left = `${left + window.scrollX}px`;
    box.style.top = `${(above > 0 ? above : at.bottom + 6) + window.scrollY}px`;
  };

  const open = (link) => {
    clearTimeout(closing);
    if (owner === link) return;
    close();
    owner = link;
    box.innerHTML = entryOf(link);
    box.hidden = false;
    link.setAttribute("aria-describedby", box.id);
    place(link);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.body.append(box);
    box.addEventListener("mouseenter", () => clearTimeout(closing));
    box.addEventListener("mouseleave", closeSoon);
    for (const link of document.querySelectorAll("article a[href]")) {
      if (!entryOf(link)) continue;
      link.addEventListener("mouseenter", () => open(link));
      link.addEventListener("focus", () => open(link));
      link.addEventListener("mouseleave", closeSoon);
      link.addEventListener("blur", close);
    }
    document.addEventListener("keydown", (event) => event.key === "Escape" && close());
  });
})();
