<?php

// Roundcube 1.6 in front of mailferry: /etc/roundcube/config.inc.php.
//
// A webmail that speaks IMAP needs no more than its IMAP host pointed at us: users log in with the old
// password, see the old mailbox, and after the flip the new one, with nothing changed here. Roundcube logs in
// anew for each click, so a session follows the mailbox by itself.

$config['db_dsnw'] = 'sqlite:////var/lib/roundcube/roundcube.db?mode=0640';

// A door of mailferry on this machine, which believes what we say of our users' browsers (mailferry_client):
// [[listen]]
// service = "imap"
// endpoint = "tcp:9243:interface=127.0.0.1"
// tls = "none"
// webmail_from = ["127.0.0.1/32"]
$config['imap_host'] = 'localhost:9243';
// A login waits up to 25 seconds while its mailbox is being switched; 60 is what a slow source may take.
$config['imap_timeout'] = 90;
// The new mailbox has other UIDs than the old one: nothing of the old one may be remembered.
$config['imap_cache'] = null;
$config['messages_cache'] = false;

// Postfix asks mailferry about this login (conf/postfix).
$config['smtp_host'] = 'tls://localhost:587';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';

// 24 characters of your own: they protect the password in the session.
$config['des_key'] = 'change-me-24-characters!';

$config['product_name'] = 'Webmail';
$config['skin'] = 'elastic';
$config['plugins'] = ['mailferry_client', 'mailferry_state'];
