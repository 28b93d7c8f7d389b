// The theme, before anything is painted: the system's, or what was chosen here.
(function () {
  "use strict";
  var chosen = null;
  try {
    chosen = localStorage.getItem("larder-theme");
  } catch {
    // storage may be forbidden: the system's then
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
