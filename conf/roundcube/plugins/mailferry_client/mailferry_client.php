<?php

/**
 * Tells mailferry whose browser a login is for.
 *
 * All users of a webmail come from its own address. The browser's goes ahead of each login in IMAP's ID;
 * mailferry believes it where webmail_from of the [[listen]] names this machine, and nowhere else.
 * Behind a web proxy, name that in Roundcube's proxy_whitelist: whose browser it is, Roundcube decides.
 *
 * @license Apache-2.0
 */
class mailferry_client extends rcube_plugin
{
    public function init()
    {
        $this->add_hook('storage_connect', [$this, 'tell']);
    }

    /**
     * Returns the connection's options with the browser's address among them.
     */
    public function tell($options)
    {
        $address = rcube_utils::remote_addr();
        if (filter_var($address, FILTER_VALIDATE_IP)) {
            $said = (array) ($options['preauth_ident'] ?? []);
            $options['preauth_ident'] = ['x-originating-ip' => $address] + $said;
        }

        return $options;
    }
}
