// Shows a strip with the state of the move, and asks again while it goes on.
(function () {
  'use strict';
  var AGAIN_SECONDS = 30;

  function show(told) {
    var strip = document.getElementById('mailferry-state');
    if (!told.text || sessionStorage.getItem('mailferry-hidden') === told.state) {
      if (strip) strip.remove();
      return;
    }
    if (!strip) {
      strip = document.createElement('div');
      strip.id = 'mailferry-state';
      strip.setAttribute('role', 'status');
      document.body.appendChild(strip);
    }
    strip.className = told.state;
    strip.textContent = told.text;
    if (told.state === 'in_progress' && typeof told.percent === 'number') {
      var bar = document.createElement('progress');
      bar.max = 100;
      bar.value = told.percent;
      strip.appendChild(bar);
    }
    var hide = document.createElement('button');
    hide.type = 'button';
    hide.textContent = told.hide;
    hide.onclick = function () {
      sessionStorage.setItem('mailferry-hidden', told.state);
      strip.remove();
    };
    strip.appendChild(hide);
  }

  function ask() {
    rcmail.http_get('plugin.mailferry_state', {});
  }

  rcmail.addEventListener('plugin.mailferry_state', function (told) {
    show(told);
    // an empty state: nobody answered in time
    if (told.state === 'in_progress' || !told.state) setTimeout(ask, AGAIN_SECONDS * 1000);
  });
  rcmail.addEventListener('init', ask);
})();
