"""mailferry: a transparent POP3 and IMAP proxy that moves each mailbox behind its owner's first login."""

__version__ = "0.1.0"
