from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

# The function with four values is that of portals before this version, which know no folders.
_REGISTER = """
CREATE OR REPLACE FUNCTION register_file(number int, of_area text, of_name text, bytes bigint, in_folder text)
RETURNS void LANGUAGE sql AS $body$
INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes, folder)
SELECT number, of_area, coalesce(max(index) + 1, 0), of_name, bytes, in_folder
FROM ticket_file WHERE ticket_id = number AND area = of_area
ON CONFLICT (ticket_id, area, name) DO UPDATE SET size_bytes = excluded.size_bytes, folder = excluded.folder
$body$
"""
_REGISTER_PLAIN = """
CREATE OR REPLACE FUNCTION register_file(number int, of_area text, of_name text, bytes bigint)
RETURNS void LANGUAGE sql AS $body$
SELECT register_file(number, of_area, of_name, bytes, '')
$body$
"""


class Migration(migrations.Migration):
    dependencies = [('portal', '0024_publishers')]

    initial = False

    operations = [
        ops.AddField(
            model_name='TicketFile',
            name='folder',
            field=fields.CharField(db_default='', max_length=64),
        ),
        ops.RunSQL([_REGISTER, _REGISTER_PLAIN], reverse_sql=ops.RunSQL.noop),
    ]
