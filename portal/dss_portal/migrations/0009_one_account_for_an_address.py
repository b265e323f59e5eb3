"""Addresses were kept as they were typed, so that one person could have two accounts.

The oldest account stays, with what the others have.  It is disabled if one of them was, and everybody
concerned signs in anew: whoever had one account need not have had the other.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

MERGE = """
DO $$
DECLARE
    two record;
BEGIN
    FOR two IN
        SELECT id AS other, kept FROM (
            SELECT id, min(id) OVER (PARTITION BY lower(trim(email))) AS kept FROM user_account
        ) AS accounts WHERE id <> kept ORDER BY id
    LOOP
        UPDATE user_account AS account SET
            sysadmin = account.sysadmin OR other.sysadmin,
            disabled = account.disabled OR other.disabled,
            tier_id = (SELECT name FROM tier WHERE name IN (account.tier_id, other.tier_id)
                ORDER BY max_tickets DESC LIMIT 1)
            FROM user_account AS other WHERE account.id = two.kept AND other.id = two.other;
        UPDATE provider_access AS access SET admin = true FROM provider_access AS other
            WHERE access.user_id = two.kept AND other.user_id = two.other
            AND other.provider_id = access.provider_id AND other.admin;
        DELETE FROM provider_access WHERE user_id = two.other AND provider_id IN
            (SELECT provider_id FROM provider_access WHERE user_id = two.kept);
        DELETE FROM turn WHERE user_id = two.other AND service IN
            (SELECT service FROM turn WHERE user_id = two.kept);
        UPDATE provider_access SET user_id = two.kept WHERE user_id = two.other;
        UPDATE turn SET user_id = two.kept WHERE user_id = two.other;
        UPDATE ticket SET user_id = two.kept WHERE user_id = two.other;
        UPDATE upload SET user_id = two.kept WHERE user_id = two.other;
        UPDATE claim SET user_id = two.kept WHERE user_id = two.other;
        UPDATE api_token SET user_id = two.kept WHERE user_id = two.other;
        DELETE FROM session WHERE user_id IN (two.kept, two.other);
        DELETE FROM login_token WHERE user_id IN (two.kept, two.other);
        DELETE FROM user_account WHERE id = two.other;
    END LOOP;
    UPDATE user_account SET email = lower(trim(email)) WHERE email <> lower(trim(email));
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0008_liveness")]

    initial = False

    operations = [ops.RunSQL(MERGE, reverse_sql=ops.RunSQL.noop)]
