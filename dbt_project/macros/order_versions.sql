{#- Versions that begin at or after the earliest snapshot to be replayed are made again; a late snapshot may have split them. -#}
{% macro forget_replayed_versions() -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    using (
        select coin, min(snapshot_at) as replayed_from_at
        from {{ ref('int_order_snapshots') }}
        where _load_seq > (select coalesce(max(versions._load_seq), 0) from {{ this }} as versions)
        group by coin
    ) as replays
    where {{ this.identifier }}.coin = replays.coin and {{ this.identifier }}.valid_from_at >= replays.replayed_from_at
    {%- else -%}
    select 1
    {%- endif -%}
{%- endmacro %}
