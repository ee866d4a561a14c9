"""Every word of the workbook, whole sentences with named gaps, so that they can be translated."""

from __future__ import annotations

SHEETS = {
    "summary": "Summary",
    "inputs": "Assumptions",
    "options": "Options",
    "cost": "Cost by year",
    "cash": "Cash flow",
    "bill": "Bill of materials",
    "even": "Break-even",
    "others": "Other options",
    "sources": "Sources",
}
TITLES = {
    "summary": "{years}-year cost: {team}",
    "inputs": "Assumptions: change the yellow cells, and every sheet follows",
    "options": "Options compared over {years} years",
    "cost": "Cost by year of the recommendation",
    "cash": "Cash flow of the recommendation by quarter",
    "bill": "Bill of materials of the recommendation",
    "others": "How the other options and the two ends of the range are computed",
    "even": "Break-even, and how sure the cost is",
    "sources": "Where each figure comes from",
}
HOW = (
    "Change a yellow cell on the sheet Assumptions (the tariff, a quote, the growth, the calls a "
    "day, the discount rate): every sheet follows, by the planner's own formulas.",
    "The options stay the same: a replica carries the calls that were predicted for the prompts, "
    "answers and response times of the report. If one of these limits changes, or another option "
    "becomes the cheapest, make a new plan; the workbook does not choose.",
    "Prompt and output tokens move the cost of an API and the cost per million tokens only: with "
    "other lengths a replica carries another load, which only a new plan knows.",
    "Percentiles, and what moves the cost most, were drawn when the report was made and do not "
    "follow the inputs.",
    "All sheets are protected without a password, against slips: unprotect them to add your own.",
)
SUMMARY = {
    "decision": "Decision",
    "prepared": "Prepared for",
    "date": "Date",
    "run": "Run",
    "validity": "Validity",
    "valid": "the prices of the recommendation count as current until {until}",
    "stale": "a new quote first: the deciding price is {age} old",
    "figure": "Figure",
    "now": "With the inputs as they are",
    "report": "In the report",
    "difference": "Difference",
    "total": "Cost over {years} years",
    "low": "Low end: speed and price favourable",
    "high": "High end: speed and price unfavourable",
    "npv": "Net present cost",
    "per_token": "Cost per million tokens served",
    "first": "First year",
    "servers": "Servers in the last year",
    "p10": "P10: one draw in ten costs no more",
    "p50": "P50: half of the draws cost no more",
    "p90": "P90: nine draws in ten cost no more",
    "drawn": "drawn for the report; does not follow the inputs",
    "never": "limits missed",
    "cheapest": "Cheapest of the options that hold every limit, at present value",
    "policy": "Servers allowed by the policy",
    "budget": "Budget",
    "inside": "kept",
    "outside": "exceeded: make a new plan",
    "how": "How to use this workbook",
    "none": "No option meets the requirement: nothing is computed here.",
}
COLUMNS = {
    "key": "Name in formulas", "label": "Figure", "value": "Value", "low": "Low", "high": "High",
    "unit": "Unit", "status": "Status", "source": "Source", "date": "Date",
    "used": "In {currency}", "note": "Note", "item": "Line", "year": "Year {year}",
    "total": "Total", "quarter": "Year {year}, Q{quarter}", "option": "Option", "name": "What",
    "holds": "Holds limits", "cost": "Cost", "npv": "Net present cost", "more": "More than the "
    "recommendation", "per_token": "Per million tokens", "counts": "Present cost if it holds",
    "quantity": "Quantity", "price": "Unit price", "amount": "Amount",
}  # fmt: skip
GROUPS = {
    "team": "The team's own figures",
    "policy": "What the house allows",
    "speed": "What one replica carries, as predicted",
    "price": "Prices of the compared options",
    "machine": "Machines of the compared options",
    "general": "General assumptions",
    "fx": "Exchange rates",
}
TEAM = {
    "calls_per_day": ("Calls a day in the first year", "call/day"),
    "growth": ("Growth of the calls", "1/year"),
    "busiest_hour_share": ("Share of the day's calls in the busiest hour", "1"),
    "days_per_year": ("Days with load", "day/year"),
    "prompt_tokens": ("Prompt of one call, mean", "token"),
    "output_tokens": ("Answer to one call, mean", "token"),
    "cached_prompt_share": ("Share of the prompt that is found in a cache", "1"),
    "peak_price_share": ("Share of the calls in the hours of an API's peak price", "1"),
    "spare_replicas": ("Spare replicas", "replica"),
    "spare_servers": ("Spare servers", "server"),
    "most_servers": ("Most servers", "server"),
    "budget": ("Budget", "{currency}"),
    "rented_hours_per_year": ("Hours rented on demand", "h/year"),
}
PREDICTED = {
    "rate": ("{letter}: calls that one replica carries within the limits", "call/s"),
    "rate_peak": ("{letter}: calls that one replica serves if waiting has no limit", "call/s"),
    "per_server": ("{letter}: replicas on one server", "replica"),
    "each": ("{letter}: accelerators of one replica", "accelerator"),
}
PRICES = {
    "server": "Price of one {name}",
    "rent": "Rent of one {name} on demand, {tier}",
    "input": "{name}: prompt tokens",
    "output": "{name}: output tokens",
    "cached": "{name}: prompt tokens found in the cache",
    "peak_factor": "{name}: peak price over the usual price",
    "peak_share": "{name}: share of the day at the peak price",
}
MACHINE = {
    "idle": ("{name}: power at the wall, idle", "W"),
    "load": ("{name}: power at the wall, loaded", "W"),
    "rack_units": ("{name}: height in the rack", "rack unit"),
    "devices": ("{name}: accelerators", "accelerator"),
}
TERMS = {
    "pue": "PUE: electricity of the room over that of the servers",
    "electricity_tariff_us": "Electricity tariff",
    "electricity_tariff_eu": "Electricity tariff",
    "electricity_tariff_cn": "Electricity tariff",
    "electricity_tariff_growth": "Rise of the tariff",
    "discount_rate": "Discount rate",
    "economic_life": "Years after which a server is replaced",
    "residual_3y": "Residual value after three years, of the price",
    "lease_rate": "Interest of the lease",
    "lease_residual_3y": "Residual value that the lessor reckons with after three years",
    "support_rate": "Support contract, of the price",
    "insurance_rate": "Insurance, of the price",
    "network_adder": "Network, of the price",
    "storage_per_server": "Storage beside the server's own",
    "rack_per_unit": "Rack with power distribution, per rack unit",
    "spares_rate": "Spares, of server and network",
    "installation_rate": "Freight and installation, of what is bought",
    "tax_rate": "Tax that is not recovered",
    "contingency_rate": "Contingency",
    "staff_hours_per_server": "Work for each server",
    "staff_hours_fixed": "Work for the service itself",
    "staff_rate_us": "Cost of an hour of staff",
    "staff_rate_eu": "Cost of an hour of staff",
    "staff_rate_cn": "Cost of an hour of staff",
    "colocation_per_kw_month": "Colocation",
    "colocation_per_kw_month_cn": "Colocation",
    "colocation_metered": "Electricity metered apart from the rent: 1, in the rent: 0",
    "remote_hands_hours": "Remote hands",
    "remote_hands_rate": "Cost of an hour of remote hands",
    "software_per_gpu_year": "Licence of an accelerator",
    "decommission_rate": "Removal and destruction of data, of the price",
    "api_price_decline": "Fall of API prices",
    "rental_price_decline": "Fall of rental prices",
    "rental_reserved_discount": "Discount for reserving",
    "fx_cny_per_usd": "Yuan for a dollar",
    "fx_eur_per_usd": "Euros for a dollar",
}
UNITS = {"1": "%", "1/year": "%/year"}  # of figures that are shares
BARE = {"1": ""}  # a ratio has no unit to show
STATUS = {"team": "team file", "predicted": "predicted", "listed": "list price",
          "market": "market price", "catalogue": "catalogue"}  # fmt: skip
AS_PRICED = "as for the price of this server"
PREDICTION = "this planner ({by}); the band holds 90 % of measured errors"
LINES = {
    "calls": ("Calls", "call/year"),
    "peak": ("Calls in the busiest hour", "call/s"),
    "working": ("Working replicas", "replica"),
    "needed": ("Servers needed, spares included", "server"),
    "bought": ("Servers bought at the start of the year", "server"),
    "owned": ("Servers owned", "server"),
    "busy": ("Share of the year under load", "1"),
    "replicas": ("Replicas rented, spares included", "replica"),
    "rented": ("Accelerators rented", "accelerator"),
    "tariff": ("Electricity tariff", "{currency}/kWh"),
    "term": ("Years until the end of the lease of what this year brings", "year"),
    "payment": ("Lease of what this year brings", "{currency}/year"),
    "hardware": ("One server", "{currency}"),
    "network": ("Network", "{currency}"),
    "storage": ("Storage", "{currency}"),
    "rack": ("Rack and power distribution", "{currency}"),
    "spares": ("Spares", "{currency}"),
    "installation": ("Freight and installation", "{currency}"),
    "tax": ("Tax that is not recovered", "{currency}"),
    "contingency": ("Contingency", "{currency}"),
    "capital": ("Paid for each server", "{currency}"),
    "level": ("Price over the price today", "1"),
    "input": ("Prompt tokens that no cache holds", "token/year"),
    "cached": ("Prompt tokens found in a cache", "token/year"),
    "output": ("Output tokens", "token/year"),
    "flat": ("Cost at the price today", "{currency}"),
    "capex": ("Purchase, spares, installation", "{currency}"),
    "lease": ("Lease", "{currency}"),
    "energy": ("Electricity", "{currency}"),
    "colocation": ("Colocation with electricity", "{currency}"),
    "support": ("Support and insurance", "{currency}"),
    "software": ("Licences", "{currency}"),
    "staff": ("Staff", "{currency}"),
    "other": ("Remote hands", "{currency}"),
    "rent": ("Rent", "{currency}"),
    "api": ("API", "{currency}"),
    "decommissioning": ("Removal, data destruction", "{currency}"),
    "residual": ("Residual value", "{currency}"),
    "yearly": ("Total", "{currency}"),
    "start": ("Discount factor, start of the year", "1"),
    "end": ("Discount factor, end of the year", "1"),
    "npv": ("Net present cost", "{currency}"),
    "tokens": ("Tokens served", "token"),
    "per_token": ("Cost per million tokens served", "{currency}/Mtoken"),
}
SECTIONS = {
    "demand": "Demand and machines",
    "capital": "What is paid for each server",
    "lines": "Cost (purchases at the start of each year, all else at its end)",
    "worth": "Present value and unit cost",
    "shares": "Share of a year's line that falls into each quarter",
}
CASES = {"": "{letter}: {option}", "_low": "{letter}, low end: speed and price favourable",
         "_high": "{letter}, high end: speed and price unfavourable"}  # fmt: skip
CASH = {
    "first": "Purchases", "even": "Evenly over the year", "falling": "API, price falling monthly",
    "last": "Removal and residual value", "total": "Total", "sum": "Cumulative",
    "check": "Difference from the sheet Cost by year",
}  # fmt: skip
BILL = {
    "inside": "{number:,.0f} x {device}, {memory:,.0f} GiB of memory; {includes}",
    "unstated": "further parts not stated",
    "power": "Power of all servers, loaded", "rack": "Rack units", "lead": "Lead time",
    "weeks": "{low:.0f} to {high:.0f} weeks", "source": "Source of the price",
    "total": "Paid for servers over the plan", "per_server": "for each server",
    "lease": "Leased: the lessor pays these amounts.",
    "nothing": "Nothing is bought.",
    "rented": "Most accelerators rented at a time", "model": "Model and licence",
}  # fmt: skip
EVEN = {
    "one": "One figure changed, all others as they are: the value at which both cost the same at "
    "present value. An empty cell says that no positive value does.",
    "rival": "Against {letter}: {option}",
    "server": "Price of one server", "tariff": "Electricity tariff in the first year",
    "rent": "Rent of an accelerator and hour on demand", "api": "Price of the API, of today's",
    "holds": "below it the recommendation is cheaper",
    "above": "above it the recommendation is cheaper",
    "even": "Same cost at", "rise": "One line rises by", "risen": "Cost with it",
    "changes": "Cost if one line of the recommendation rises",
    "sure": "How sure the cost is: drawn for the report, does not follow the inputs",
    "tornado": "What moves the cost most: computed for the report, does not follow the inputs",
}  # fmt: skip
IDENTITY = {"catalogue": "Catalogue", "version": "Planner", "file": "Team file", "run": "Run"}
