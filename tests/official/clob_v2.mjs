// What the npm package @polymarket/clob-client-v2 does at the sandbox. It answers calls as tests/official/__main__.py does.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.cwd()}/.clients-node/`);
const { AssetType, ClobClient, OrderType, Side } = require("@polymarket/clob-client-v2");
const { Wallet } = require("@ethersproject/wallet");

const answers = process.stdout.write.bind(process.stdout);
// What a client prints is no answer.
process.stdout.write = process.stderr.write.bind(process.stderr);

async function clientOf(urls, account) {
  const given = {
    host: urls.clob,
    chain: 137,
    signer: new Wallet(account.private_key),
    signatureType: account.signature_type,
    funderAddress: account.funder,
    throwOnError: true,
  };
  const creds = await new ClobClient(given).deriveApiKey();
  return new ClobClient({ ...given, creds });
}

async function tokenOf(urls) {
  const rows = await (await fetch(`${urls.gamma}/markets?closed=false`)).json();
  const found = rows.filter((row) => row.slug.includes("updown-15m"));
  found.sort((a, b) => (a.endDate < b.endDate ? 1 : -1));
  return [found[0], JSON.parse(found[0].clobTokenIds)[0]];
}

const calls = {
  // Read every list of markets, and the book.
  async read({ urls, account }) {
    const client = await clientOf(urls, account);
    const [market, token] = await tokenOf(urls);
    const count = async (page) => (await page).data.length;
    const book = await client.getOrderBook(token);
    return {
      ok: await client.getOk(),
      version: await client.getVersion(),
      markets: await count(client.getMarkets()),
      simplified: await count(client.getSimplifiedMarkets()),
      sampling: await count(client.getSamplingMarkets()),
      sampling_simplified: await count(client.getSamplingSimplifiedMarkets()),
      tick: await client.getTickSize(token),
      condition: (await client.getMarket(market.conditionId)).condition_id === market.conditionId,
      book_hash: [book.hash, await client.getOrderBookHash({ ...book })],
      middle: (await client.getMidpoint(token)).mid,
    };
  },

  // Let a large order rest, ask whether it scores, cancel it, take some, and read what one is notified of.
  async trade({ urls, account }) {
    const client = await clientOf(urls, account);
    const [, token] = await tokenOf(urls);
    const rest = async (price, size) =>
      client.createAndPostOrder({ tokenID: token, price, side: Side.BUY, size }, undefined, OrderType.GTC);
    const near = await rest(Number((Number((await client.getMidpoint(token)).mid) - 0.02).toFixed(2)), 60);
    const far = await rest(0.02, 10);
    const told = {
      resting: [near.status, far.status],
      open: (await client.getOpenOrders()).map((order) => order.id),
      ids: [near.orderID, far.orderID],
      scoring: (await client.isOrderScoring({ order_id: near.orderID })).scoring,
      all_scoring: await client.areOrdersScoring({ orderIds: [near.orderID, far.orderID] }),
    };
    told.canceled = (await client.cancelAll()).canceled;
    const taken = await client.createAndPostMarketOrder(
      { tokenID: token, amount: 20, side: Side.BUY, orderType: OrderType.FAK },
      undefined,
      OrderType.FAK,
    );
    told.taken = [taken.success, taken.status];
    told.trades = (await client.getTrades()).length;
    told.balance = (await client.getBalanceAllowance({ asset_type: AssetType.COLLATERAL })).balance;
    const notified = await client.getNotifications();
    told.notified = notified.map((row) => row.type);
    await client.dropNotifications({ ids: notified.slice(1).map((row) => String(row.id)) });
    told.kept = (await client.getNotifications()).length;
    try {
      await rest(0.02, 1);
    } catch (refusal) {
      told.refused = String(refusal.message);
    }
    return told;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer;
  try {
    answer = { result: await calls[asked.call](asked.with) };
  } catch (error) {
    answer = { raised: String(error.stack ?? error) };
  }
  answers(`${JSON.stringify(answer)}\n`);
}
