"""What S3 Select means by its conversions, in DuckDB's words: macros that a connection is given before any statement."""

MACROS = """
CREATE MACRO fault(code) AS error('S3SELECT:' || code);
CREATE MACRO any_text(j) AS CASE WHEN json_type(j) = 'VARCHAR' THEN j->>'$' END;
CREATE MACRO any_print(j) AS CASE WHEN json_type(j) = 'NULL' THEN NULL ELSE j->>'$' END;
CREATE MACRO any_bool(j) AS CASE WHEN json_type(j) = 'BOOLEAN' THEN CAST(j->>'$' AS BOOLEAN) END;
CREATE MACRO is_int(t) AS regexp_full_match(t, '\\s*[+-]?[0-9]{1,38}\\s*');
CREATE MACRO any_int(j) AS CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT') THEN CAST(j->>'$' AS HUGEINT) END;
CREATE MACRO any_number(j) AS CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')
    THEN CAST(j->>'$' AS DOUBLE) END;
CREATE MACRO cast_number(t) AS CASE WHEN t IS NULL THEN NULL ELSE coalesce(TRY_CAST(t AS DOUBLE), fault('CastFailed')) END;
CREATE MACRO cast_int(t) AS CASE WHEN t IS NULL THEN NULL WHEN is_int(t)
    THEN coalesce(TRY_CAST(t AS BIGINT), fault('CastFailed')) ELSE fault('CastFailed') END;
CREATE MACRO cast_decimal(t) AS CASE WHEN t IS NULL THEN NULL
    ELSE coalesce(TRY_CAST(t AS DECIMAL(38, 12)), fault('CastFailed')) END;
CREATE MACRO cast_bool(t) AS CASE WHEN t IS NULL THEN NULL WHEN lower(t) = 'true' THEN true
    WHEN lower(t) = 'false' THEN false ELSE fault('CastFailed') END;
CREATE MACRO cast_time(t) AS CASE WHEN t IS NULL THEN NULL ELSE coalesce(make_timestamp(epoch_us(TRY_CAST(CASE
    WHEN regexp_full_match(t, '[0-9]{4}T?') THEN left(t, 4) || '-01-01'
    WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}T?') THEN left(t, 7) || '-01'
    WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}T?') THEN left(t, 10)
    WHEN regexp_full_match(t,
        '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?')
    THEN regexp_replace(t, '^(.{16})(Z|[+-].*)?$', '\\1:00\\2') END AS TIMESTAMPTZ))), fault('CastFailed')) END;
CREATE MACRO like_regex(t) AS CASE WHEN length(t) > 4000 THEN fault('LikeInvalidInputs')
    ELSE replace(regexp_replace(regexp_escape(t), '(\\\\%)+', '.*', 'g'), '_', '.') END;
CREATE MACRO part_of(t, first, size) AS substring(t, greatest(first, 1), greatest(first + size - greatest(first, 1), 0));
"""
"""`j` is JSON, `t` text."""
