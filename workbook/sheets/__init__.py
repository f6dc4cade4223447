"""One module per sheet (or family of sheets); `workbook.build` puts them in order."""
