// The values of the column under the pointer, at once and in a form that can be read; without this, the browser shows
// them as a tool tip after a while. (No ampersand and no less-than sign in here: the page is XML as well.)
(function () {
  var box = document.createElement("div");
  box.className = "readout";
  box.hidden = true;
  document.body.appendChild(box);
  document.querySelectorAll(".hover rect").forEach(function (column) {
    var title = column.querySelector("title");
    column.dataset.said = title.textContent;
    title.remove();
  });
  function hide() { box.hidden = true; }
  document.addEventListener("pointermove", function (event) {
    var column = event.target.closest ? event.target.closest(".hover rect") : null;
    if (!column) { hide(); return; }
    if (box.textContent !== column.dataset.said) {
      box.textContent = "";
      column.dataset.said.split("\n").forEach(function (line, i) {
        var row = document.createElement("div");
        var parts = line.split("  ");
        parts.forEach(function (part) {
          var cell = document.createElement("span");
          cell.textContent = part;
          row.appendChild(cell);
        });
        if (i === 0) { row.className = "when"; }
        box.appendChild(row);
      });
    }
    box.hidden = false;
    var right = event.clientX + 18 + box.offsetWidth > window.innerWidth;
    box.style.left = (right ? event.clientX - 18 - box.offsetWidth : event.clientX + 18) + "px";
    box.style.top = Math.max(8, event.clientY - box.offsetHeight / 2) + "px";
  });
  document.addEventListener("scroll", hide, { passive: true });
})();
