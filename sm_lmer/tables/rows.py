"""Which rows of a data frame a fit used."""

from __future__ import annotations

import pandas as pd


def rows_used(data: pd.DataFrame, rows: pd.Index) -> pd.DataFrame:
    """The rows of the data that have these labels.

    Parameters
    ----------
    data : DataFrame
    rows : Index
        Labels of the rows that a fit used; those of the data may be others if they
        are as many.

    Raises
    ------
    ValueError
        If the labels do not tell which rows they are.

    Examples
    --------
    >>> data = pd.DataFrame({"x": [1, 2, 3]})
    >>> rows_used(data, pd.Index([0, 2]))["x"].to_list()
    [1, 3]
    """
    if data.index.is_unique and rows.isin(data.index).all():
        return data.loc[rows]
    if len(data) == len(rows):
        return data.set_axis(rows)
    raise ValueError(
        f"the data have {len(data)} rows and the fit {len(rows)}, and their labels do "
        "not tell which were used; pass the data of the fit."
    )
