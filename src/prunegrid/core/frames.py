"""Tables as pandas frames whose column types follow an Arrow schema, nullable where Arrow's are.

Apart from `files`, which stays light: the Snakefile imports that, and must not import pandas.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from prunegrid.core.files import read_parquet, write_parquet

DTYPES = {pa.string(): "string", pa.float64(): "float64", pa.int64(): "Int64", pa.bool_(): "boolean"}


def typed(frame: pd.DataFrame, schema: pa.Schema) -> pd.DataFrame:
    """The frame with the pandas type of each column's Arrow type."""
    return frame.astype({field.name: DTYPES[field.type] for field in schema})


def write_frame(frame: pd.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write the frame as Parquet with exactly the columns and types of `schema`, whole or not at all."""
    write_parquet(path, pa.Table.from_pandas(frame, schema=schema, preserve_index=False))


def read_frame(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """The frame that `write_frame` wrote; `PrunegridError` if the file is damaged or lacks a column."""
    return typed(read_parquet(path, schema.names).to_pandas(ignore_metadata=True), schema)
