<?php

/**
 * Shows the state of a mailbox's move inside the webmail.
 *
 * The page asks after it has loaded, so that it never waits for us; a service that is down, slow or
 * unwilling shows nothing. The token stays on the server, and only the state of whoever is logged in
 * is asked for.
 *
 * @license Apache-2.0
 */
class mailferry_state extends rcube_plugin
{
    public $task = 'mail';

    public function init()
    {
        $this->load_config('config.inc.php.dist');
        $this->load_config();
        $this->add_texts('localization/');
        $this->register_action('plugin.mailferry_state', [$this, 'tell']);
        if (rcmail::get_instance()->action === '') {
            $this->include_script('mailferry_state.js');
            $this->include_stylesheet('mailferry_state.css');
        }
    }

    /**
     * Answers the page's question: what to show, and whether to ask again.
     */
    public function tell()
    {
        $rcmail = rcmail::get_instance();
        $account = $this->account($rcmail->get_user_name());
        $rcmail->output->command('plugin.mailferry_state', [
            'text' => $account === null ? '' : $this->sentence($account),
            'percent' => $account['percent'] ?? null,
            'state' => $account['state'] ?? '',
            'hide' => $this->gettext('hide'),
        ]);
        $rcmail->output->send();
    }

    /**
     * Returns what the API says of an address, null where it says nothing in time.
     */
    private function account($address)
    {
        $config = rcmail::get_instance()->config;
        $token = @file_get_contents((string) $config->get('mailferry_state_token_file'));
        if (!$token || !$address) {
            return null;
        }
        $timeout = (float) $config->get('mailferry_state_timeout', 2);
        $asked = stream_context_create(['http' => [
            'header' => 'Authorization: Bearer ' . trim($token) . "\r\nAccept: application/json\r\n",
            'timeout' => $timeout,
            'follow_location' => 0,
        ]]);
        $url = $config->get('mailferry_state_url') . '/accounts/' . rawurlencode($address);
        $before = ini_set('default_socket_timeout', (string) max(1, (int) $timeout));
        $answer = @file_get_contents($url, false, $asked, 0, 65536);
        ini_set('default_socket_timeout', (string) $before);
        $account = $answer === false ? null : json_decode($answer, true);

        return is_array($account) && isset($account['state']) ? $account : null;
    }

    /**
     * Returns the sentence for a state, empty where there is nothing to tell.
     */
    private function sentence(array $account)
    {
        switch ($account['state']) {
            case 'in_progress':
                $counts = $account['messages'] ?? [];
                if (empty($counts['total'])) {
                    return $this->gettext('begun');
                }

                return $this->gettext(['name' => 'moving', 'vars' => [
                    'copied' => (int) ($counts['copied'] ?? 0),
                    'total' => (int) $counts['total'],
                ]]);
            case 'done':
                return $this->gettext('done');
            case 'failed':
                $run = $account['last_run'] ?? [];
                $language = strpos((string) $_SESSION['language'], 'zh') === 0 ? 'zh' : 'en';
                if (($run['who_must_act'] ?? '') !== 'user') {
                    return $this->gettext('waits');
                }

                return $this->gettext('failed') . ' ' . ($run['advice'][$language] ?? '');
            default:
                return '';
        }
    }
}
