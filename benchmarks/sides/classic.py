"""The script everyone starts from: a DataFrame, its records, and the SDK's own upload."""

from aito.v1 import AitoClient
from aito.v1 import api as aito

from benchmarks.sides import common

# The Storage API, which the emulator's results do not offer, is left out; the rest is as in the
# libraries' manuals.
frame = common.client().query(common.ROWS).to_dataframe(create_bqstorage_client=False)
records = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
client = AitoClient(common.AITO, common.KEY, check_credentials=False)
aito.upload_entries(client, "pages", records, batch_size=common.BATCH, optimize_on_finished=False)
