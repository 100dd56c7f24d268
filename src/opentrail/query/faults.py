"""The errors of S3 Select by AWS's codes, with the sentence each is told with.

Source: Amazon S3 API reference, "List of SELECT Object Content error codes". Knows no HTTP: `services.s3` makes an answer
or an error message of the event stream of them. Pure.
"""

from __future__ import annotations

MESSAGES = {
    "AmbiguousFieldName": "The field name matches to multiple fields in the file. Check the SQL expression and the file.",
    "Busy": "The service is unavailable. Try again later.",
    "CastFailed": "An attempt to convert from one data type to another using CAST failed in the SQL expression.",
    "ColumnTooLong": "The length of a column in the result is greater than maxCharsPerColumn of 1 MB.",
    "CSVEscapingRecordDelimiter": "A quoted record delimiter was found in the file. To allow quoted record delimiters, "
    "set AllowQuotedRecordDelimiter to 'TRUE'.",
    "CSVParsingError": "Encountered an error parsing the CSV file. Check the file and try again.",
    "EvaluatorInvalidArguments": "There is an incorrect number of arguments in the function call in the SQL expression.",
    "EvaluatorInvalidTimestampFormatPattern": "The timestamp format pattern in the SQL expression is invalid.",
    "EvaluatorNegativeLimit": "LIMIT must not be negative.",
    "ExpressionTooLong": "The SQL expression is too long: The maximum byte-length for the SQL expression is 256 KB.",
    "IllegalSqlFunctionArgument": "Illegal argument was used in the SQL function.",
    "IncorrectSqlFunctionArgumentType": "Incorrect type of arguments in function call in the SQL expression.",
    "IntegerOverflow": "An integer overflow or underflow occurred in the SQL expression.",
    "InternalError": "We encountered an internal error. Please try again.",
    "InvalidCast": "An attempt to convert from one data type to another using CAST is not supported.",
    "InvalidColumnIndex": "The column index in the SQL expression is not valid.",
    "InvalidCompressionFormat": "The file is not in a supported compression format. Only GZIP and BZIP2 are supported.",
    "InvalidDataSource": "Invalid data source type. Only CSV, JSON, and Parquet are supported.",
    "InvalidKeyPath": "The key path in the SQL expression is not valid.",
    "InvalidScanRange": "The provided scan range is invalid.",
    "InvalidTableAlias": "The SQL expression contains an invalid table alias.",
    "InvalidTextEncoding": "Invalid encoding type. Only UTF-8 encoding is supported.",
    "JSONParsingError": "Encountered an error parsing the JSON file. Check the file and try again.",
    "LexerInvalidChar": "The SQL expression contains a character that is not valid.",
    "LexerInvalidIONLiteral": "The SQL expression contains an operator that is not valid.",
    "LexerInvalidLiteral": "The SQL expression contains an operator that is not valid.",
    "LexerInvalidOperator": "The SQL expression contains an operator that is not valid.",
    "LikeInvalidInputs": "Argument given to the LIKE clause in the SQL expression is not valid.",
    "MissingHeaders": "Some headers in the query are missing from the file. Check the file and try again.",
    "OverMaxColumn": "The number of columns in the result is greater than the maximum allowable number of columns.",
    "OverMaxParquetBlockSize": "The Parquet file is above the max row group size.",
    "OverMaxRecordSize": "The length of a record in the input or result is greater than the "
    "maxCharsPerRecord limit of 1 MB.",
    "ParquetParsingError": "Encountered an error parsing the Parquet file. Check the file and try again.",
    "ParseAsteriskIsNotAloneInSelectList": "Other expressions are not allowed in the SELECT list when * is used without "
    "dot notation in the SQL expression.",
    "ParseEmptySelect": "The SQL expression contains an empty SELECT clause.",
    "ParseExpectedArgumentDelimiter": "Did not find the expected argument delimiter in the SQL expression.",
    "ParseExpectedDatePart": "Did not find the expected date part in the SQL expression.",
    "ParseExpectedExpression": "Did not find the expected SQL expression.",
    "ParseExpectedIdentForAlias": "Did not find the expected identifier for the alias in the SQL expression.",
    "ParseExpectedKeyword": "Did not find the expected keyword in the SQL expression.",
    "ParseExpectedLeftParenAfterCast": "Did not find the expected left parenthesis after CAST in the SQL expression.",
    "ParseExpectedLeftParenBuiltinFunctionCall": "Did not find the expected left parenthesis in the SQL expression.",
    "ParseExpectedMember": "The SQL expression contains unsupported use of MEMBER.",
    "ParseExpectedNumber": "Did not find the expected number in the SQL expression.",
    "ParseExpectedRightParenBuiltinFunctionCall": "Did not find the expected right parenthesis in the SQL expression.",
    "ParseExpectedTokenType": "Did not find the expected token in the SQL expression.",
    "ParseExpectedTypeName": "Did not find the expected type name in the SQL expression.",
    "ParseExpectedWhenClause": "Did not find the expected WHEN clause in the SQL expression. CASE is not supported.",
    "ParseInvalidPathComponent": "The SQL expression contains a path component that is not valid.",
    "ParseInvalidTypeParam": "The SQL expression contains a parameter value that is not valid.",
    "ParseSelectMissingFrom": "The SQL expression contains a missing FROM after the SELECT list.",
    "ParseUnexpectedKeyword": "The SQL expression contains an unexpected keyword.",
    "ParseUnexpectedToken": "The SQL expression contains an unexpected token.",
    "ParseUnsupportedSelect": "The SQL expression contains an unsupported use of SELECT.",
    "ParseUnsupportedSyntax": "The SQL expression contains unsupported syntax.",
    "TruncatedInput": "Object decompression failed. Check that the object is properly compressed using the format "
    "specified in the request.",
    "UnsupportedFunction": "Encountered an unsupported SQL function.",
    "UnsupportedParquetType": "The specified Parquet type is not supported.",
    "UnsupportedSqlOperation": "Encountered an unsupported SQL operation.",
    "UnsupportedSqlStructure": "Encountered an unsupported SQL structure. Check the SQL Reference.",
    "UnsupportedSyntax": "Encountered invalid syntax.",
}
STATUSES = {"Busy": 503, "InternalError": 500}
"""HTTP status of the codes that are not a 400."""


class QueryFault(Exception):
    """What the caller is told: a code of AWS's, and where that helps, what about."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = MESSAGES[code] + (f" ({about})" if about else "")
