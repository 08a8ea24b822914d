import { createApp } from 'vue'

import { socketUrl } from '../page'
import { fetchToken } from '../session'
import { WdsClient } from '../wds'
import { connectApi } from './api'
import { readSystemPage } from './page'
import './styles/colours.css'
import './styles/frame.css'
import './styles/panels.css'
import './styles/charts.css'
import './styles/controls.css'
import SystemPage from './SystemPage.vue'

const page = readSystemPage(document)
const client = new WdsClient({
  url: socketUrl(page, location),
  token: page.token,
  fetchToken: () => fetchToken(page.token_url, page.csrf_token),
})
addEventListener('online', () => client.setOnline(true))
addEventListener('offline', () => client.setOnline(false))
client.start()
createApp(SystemPage, { page, client, api: connectApi(page.api_url, page.csrf_token) }).mount('#system')
