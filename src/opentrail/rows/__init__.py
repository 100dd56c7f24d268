"""Row types and tables that services and followers share: state as data, without behaviour."""
